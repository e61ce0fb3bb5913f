import { describe, expect, it } from 'vitest';
import { newsOf } from './catalog';

describe('what the server pushes', () => {
  it('is known by its names', () => {
    expect(newsOf('models', '{"changed":true}')).toEqual({ kind: 'models' });
    expect(newsOf('settings', '{"changed":true}')).toEqual({ kind: 'settings' });
    expect(newsOf('server', '{"model":"m","step":"reading","fraction":0.5,"elapsed_s":1}')).toEqual({
      kind: 'server',
      load: { model: 'm', step: 'reading', fraction: 0.5, elapsed_s: 1 },
    });
    expect(newsOf('job_gone', '{"id":"j"}')).toEqual({ kind: 'work', job: { kind: 'job_gone', id: 'j' } });
    expect(newsOf('downloads', '{"downloads":[]}')).toEqual({ kind: 'downloads', downloads: [] });
  });

  it('may be more than this page knows', () => {
    expect(newsOf('weather', '{}')).toBeNull();
  });
});
