import { describe, expect, it } from 'vitest';
import { parametersOf, type JobKind, type JobParameter } from './jobs';

const parameter = (name: string, type: JobParameter['type']): JobParameter => ({ name, type, about: '', required: false, default: null });
const kind: JobKind = {
  kind: 'bench',
  about: '',
  admin_only: false,
  parameters: [parameter('model', 'text'), parameter('tokens', 'integer'), parameter('concurrency', 'integers'), parameter('dry', 'boolean'), parameter('text', 'long_text')],
};

describe('the form of a job', () => {
  it('gives what is filled in, each as its type', () => {
    expect(parametersOf(kind, { model: ' m ', tokens: '64', concurrency: '1, 4 8', dry: true, text: ' as it is\n' })).toEqual({
      parameters: { model: 'm', tokens: 64, concurrency: [1, 4, 8], dry: true, text: ' as it is\n' },
    });
  });

  it('leaves out what is empty', () => {
    expect(parametersOf(kind, { model: '', tokens: ' ', concurrency: '', dry: false })).toEqual({ parameters: {} });
  });

  it('names what is no number', () => {
    expect(parametersOf(kind, { tokens: 'many' })).toEqual({ wrong: 'tokens' });
    expect(parametersOf(kind, { tokens: '1 2' })).toEqual({ wrong: 'tokens' });
    expect(parametersOf(kind, { concurrency: '1, x' })).toEqual({ wrong: 'concurrency' });
  });
});
