// What a tool is, wherever it comes from: the page's own, or later a server's that speaks the Model Context Protocol.

/** As a model is told of it. */
export interface ToolDefinition {
  name: string;
  description: string;
  /** JSON schema of the arguments, which are an object. */
  parameters: Record<string, unknown>;
}

export interface Tool extends ToolDefinition {
  /** Gives the result as the model reads it. Throws ToolError, whose words the model reads too. */
  run(args: Record<string, unknown>, signal: AbortSignal): Promise<string> | string;
}

/** Where tools come from. Names are the source's own; those of different sources must differ. */
export interface ToolSource {
  id: string;
  list(): Promise<readonly Tool[]> | readonly Tool[];
}

export class ToolError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ToolError';
  }
}
