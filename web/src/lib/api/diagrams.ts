import { send } from './http';

let library: Promise<string> | undefined;

/** The source of Mermaid, for a frame that may not fetch it. */
export function diagramLibrary(): Promise<string> {
  return (library ??= send('/web/mermaid.js', { accept: 'text/javascript', cache: 'default' })
    .then((response) => response.text())
    .catch((error) => {
      library = undefined;
      throw error;
    }));
}
