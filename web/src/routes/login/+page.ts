import { startApp } from '$lib/state/start';

export const load = async () => {
  await startApp();
};
