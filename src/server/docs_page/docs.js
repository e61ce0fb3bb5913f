// Shows /openapi.json: routes by their tags, the fields of their bodies, types, and a form to try a route. Nothing is
// fetched from elsewhere; the key stays in its field.
'use strict';

const element = (id) => document.getElementById(id);

function make(tag, content = [], attributes = {}) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...(Array.isArray(content) ? content : [content]));
  return made;
}

const last = (reference) => reference.slice(reference.lastIndexOf('/') + 1);
const anchor = (text) => text.replace(/[^A-Za-z0-9]+/g, '-');

/** A schema's type as nodes to read, with links to named types. */
function typeOf(schema) {
  if (schema.$ref) {
    const name = last(schema.$ref);
    return [make('a', name, { href: `#type-${name}` })];
  }
  const joined = (parts) => parts.flatMap((part, i) => (i === 0 ? part : [' or ', ...part]));
  if (schema.anyOf) return joined(schema.anyOf.map(typeOf));
  if (schema.enum) return joined(schema.enum.map((value) => [JSON.stringify(value)]));
  if ('const' in schema) return [JSON.stringify(schema.const)];
  if (schema.type === 'array') return ['list of ', ...typeOf(schema.items)];
  if (Array.isArray(schema.type)) return [schema.type.join(' or ')];
  return [schema.type ?? 'any'];
}

function limitsOf(schema) {
  const limits = [];
  if ('minimum' in schema) limits.push(`at least ${schema.minimum}`);
  if ('exclusiveMinimum' in schema) limits.push(`above ${schema.exclusiveMinimum}`);
  if ('maximum' in schema) limits.push(`at most ${schema.maximum}`);
  if ('default' in schema) limits.push(`default ${JSON.stringify(schema.default)}`);
  return limits.join(', ');
}

function fieldTable(schema, { uses }) {
  const body = make('tbody');
  const add = (fields, required, path) => {
    for (const [name, field] of Object.entries(fields)) {
      const about = [field.description ?? ''];
      const limits = limitsOf(field);
      if (limits) about.push(make('div', limits, { class: 'muted' }));
      const named = [make('code', path + name)];
      if (required.includes(name)) named.push(' ', make('span', 'required', { class: 'muted' }));
      const cells = [make('td', named), make('td', typeOf(field)), make('td', about)];
      if (uses) cells.splice(2, 0, make('td', field['x-mlxd-use'] ?? '', { class: field['x-mlxd-use'] ?? '' }));
      body.append(make('tr', cells));
      if (field.properties) add(field.properties, field.required ?? [], `${path}${name}.`);
    }
  };
  add(schema.properties ?? {}, schema.required ?? [], '');
  const heads = ['field', 'type', ...(uses ? ['use'] : []), 'meaning'].map((name) => make('th', name, { scope: 'col' }));
  return make('div', make('table', [make('thead', make('tr', heads)), body]), { class: 'fields', tabindex: '0' });
}

/** A body with the required fields. */
function exampleOf(schema, api, depth = 0) {
  if (schema.$ref) return exampleOf(api.components.schemas[last(schema.$ref)], api, depth);
  if ('default' in schema) return schema.default;
  if (schema.anyOf) return exampleOf(schema.anyOf[0], api, depth);
  if (schema.enum) return schema.enum.includes('user') ? 'user' : schema.enum[0];
  if ('const' in schema) return schema.const;
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === 'array') return depth > 4 ? [] : [exampleOf(schema.items, api, depth + 1)];
  if (type === 'integer' || type === 'number') return Math.max(schema.minimum ?? 0, 64);
  if (type === 'boolean') return true;
  if (type === 'string') return '…';
  const example = {};
  for (const name of schema.required ?? []) example[name] = exampleOf(schema.properties[name], api, depth + 1);
  if (schema.properties?.content && depth > 0) example.content ??= 'Hello';
  return example;
}

async function send(form, method, path) {
  const output = form.querySelector('output');
  const headers = {};
  const key = element('key').value.trim();
  if (key) headers.authorization = `Bearer ${key}`;
  let url = path;
  const query = new URLSearchParams();
  for (const input of form.querySelectorAll('input')) {
    if (input.dataset.in === 'path') url = url.replace(`{${input.name}}`, encodeURIComponent(input.value).replaceAll('%2F', '/'));
    else if (input.value) query.append(input.name, input.value);
  }
  if (query.size > 0) url += `?${query}`;
  const text = form.querySelector('textarea');
  if (text) headers['content-type'] = 'application/json';
  output.replaceChildren(make('p', 'Waiting…', { class: 'muted' }));
  try {
    const response = await fetch(url, { method: method.toUpperCase(), headers, body: text ? text.value : undefined });
    const shown = make('pre');
    const status = make('p', `${response.status} ${response.statusText}`, { class: response.ok ? 'honoured' : 'error' });
    output.replaceChildren(status, shown);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let body = '';
    for (let part = await reader?.read(); part && !part.done; part = await reader.read()) {
      body += part.value;
      shown.textContent = body;
    }
    if (response.headers.get('content-type')?.includes('json') && body) shown.textContent = JSON.stringify(JSON.parse(body), null, 2);
  } catch (error) {
    output.replaceChildren(make('p', `There was no answer: ${error.message}`, { class: 'error' }));
  }
}

function tryForm(method, path, operation, api) {
  const form = make('form', [make('h3', 'Try it')]);
  for (const parameter of operation.parameters ?? []) {
    if (parameter.in === 'header') continue;
    const id = `${operation.operationId}-${parameter.name}`;
    const input = make('input', [], { id, name: parameter.name, 'data-in': parameter.in, placeholder: limitsOf(parameter.schema) });
    if (parameter.required) input.required = true;
    form.append(make('p', [make('label', `${parameter.name} `, { for: id }), input]));
  }
  const body = operation.requestBody?.content['application/json'].schema;
  if (body) {
    const id = `${operation.operationId}-body`;
    const text = make('textarea', JSON.stringify(exampleOf(body, api), null, 2), { id, spellcheck: 'false' });
    form.append(make('p', [make('label', 'body', { for: id }), text]));
  }
  form.append(make('button', 'Send', { type: 'submit' }), make('output'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    send(form, method, path);
  });
  return form;
}

function routeDetails(method, path, operation, api) {
  const inside = make('div');
  const details = make('details', [
    make('summary', [make('span', method.toUpperCase(), { class: 'method' }), ' ', make('code', path), ' ', make('span', operation.summary, { class: 'muted' })]),
    inside,
  ], { id: anchor(`${method}-${path}`) });
  const fill = () => {
    if (inside.childElementCount > 0) return;
    inside.append(make('p', [`Who may: ${operation['x-mlxd-need']}.`], { class: 'muted' }));
    const parameters = operation.parameters ?? [];
    if (parameters.length > 0) {
      inside.append(make('h3', 'Parameters'));
      const properties = Object.fromEntries(
        parameters.map((each) => [each.name, { ...each.schema, description: [each.in, each.description].filter(Boolean).join('. ') }]),
      );
      const required = parameters.filter((each) => each.required).map((each) => each.name);
      inside.append(fieldTable({ properties, required }, { uses: false }));
    }
    const body = operation.requestBody?.content['application/json'].schema;
    for (const form of body?.anyOf ?? (body ? [body] : [])) {
      inside.append(make('h3', ['Body: ', ...typeOf(form)]));
      inside.append(fieldTable(api.components.schemas[last(form.$ref)], { uses: true }));
    }
    inside.append(make('h3', 'Answers'));
    for (const [status, answer] of Object.entries(operation.responses)) {
      const named = answer.$ref ? api.components.responses[last(answer.$ref)] : answer;
      const forms = Object.entries(named.content ?? {}).flatMap(([type, content]) => [
        ', ', make('code', type), ': ', ...typeOf(content['x-mlxd-event'] ?? content.schema), ...(content['x-mlxd-event'] ? [' each'] : []),
      ]);
      inside.append(make('p', [make('code', status === 'default' ? 'else' : status), ` ${named.description}`, ...forms]));
    }
    if (method !== 'head') inside.append(tryForm(method, path, operation, api));
  };
  details.addEventListener('toggle', fill);
  details.fill = fill;
  return details;
}

/** The names of a schema's fields, those of members too. */
function namesOf(schema) {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => [name, ...namesOf(field)]);
}

/** What a search looks at. */
function wordsOf(method, path, operation, api) {
  const body = operation.requestBody?.content['application/json'].schema;
  const forms = (body?.anyOf ?? (body ? [body] : [])).map((form) => last(form.$ref));
  const fields = forms.flatMap((name) => namesOf(api.components.schemas[name]));
  return [method, path, operation.summary, ...operation.tags, ...forms, ...fields].join(' ').toLowerCase();
}

function show(api) {
  element('version').textContent = api.info.version;
  element('about').textContent = api.info.description;
  const found = [];
  const groups = new Map(api.tags.map((tag) => [tag.name, []]));
  for (const [path, operations] of Object.entries(api.paths))
    for (const [method, operation] of Object.entries(operations)) groups.get(operation.tags[0]).push([method, path, operation]);
  for (const [tag, routes] of groups) {
    const list = make('ul');
    const heading = make('h2', tag);
    const section = make('section', make('h2', tag));
    element('index').append(heading, list);
    element('routes').append(section);
    for (const [method, path, operation] of routes) {
      const details = routeDetails(method, path, operation, api);
      const entry = make('li', make('a', [make('span', method.toUpperCase(), { class: 'method' }), ' ', path], { href: `#${details.id}` }));
      list.append(entry);
      section.append(details);
      found.push({ words: wordsOf(method, path, operation, api), nodes: [details, entry], groups: [section, heading] });
    }
  }
  const types = [];
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    const uses = Object.values(schema.properties ?? {}).some((field) => field['x-mlxd-use']);
    const details = make('details', [
      make('summary', [make('code', name), ' ', make('span', schema.description ?? '', { class: 'muted' })]),
      make('div', fieldTable(schema, { uses })),
    ], { id: `type-${name}` });
    element('types').append(details);
    types.push({ words: `${name} ${namesOf(schema).join(' ')}`.toLowerCase(), node: details });
  }
  element('types-section').hidden = false;

  const search = () => {
    const words = element('search').value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (text) => words.every((word) => text.includes(word));
    const seen = new Set();
    let count = 0;
    for (const each of found) {
      const shown = fits(each.words);
      count += shown ? 1 : 0;
      for (const node of each.nodes) node.hidden = !shown;
      if (shown) each.groups.forEach((group) => seen.add(group));
    }
    for (const each of found) each.groups.forEach((group) => (group.hidden = !seen.has(group)));
    for (const type of types) type.node.hidden = !fits(type.words);
    element('state').textContent = words.length > 0 ? `${count} of ${found.length} routes` : `${found.length} routes`;
  };
  element('search').addEventListener('input', search);
  search();

  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target?.tagName !== 'DETAILS') return;
    target.open = true;
    target.fill?.();
    target.scrollIntoView();
  };
  addEventListener('hashchange', open);
  open();
}

fetch('/openapi.json')
  .then((response) => (response.ok ? response.json() : Promise.reject(new Error(`${response.status} ${response.statusText}`))))
  .then(show)
  .catch((error) => {
    element('state').textContent = `The document cannot be shown: ${error.message}. Reload the page to try again.`;
    element('state').className = 'error';
  });
