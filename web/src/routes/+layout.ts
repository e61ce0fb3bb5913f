// One page for every route, drawn in the browser.
export const ssr = false;
export const prerender = false;
export const trailingSlash = 'never';
