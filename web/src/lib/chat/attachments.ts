// Files that become part of a prompt: text and code, read here, told from binaries by their bytes.
import type { Attachment } from './types';

export const MOST_FILE_BYTES = 1_000_000;

export type ReadResult = { attachment: Attachment } | { problem: 'large' | 'binary' };

export async function readTextFile(file: File): Promise<ReadResult> {
  if (file.size > MOST_FILE_BYTES) return { problem: 'large' };
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes.includes(0)) return { problem: 'binary' };
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return { attachment: { name: file.name, type: file.type || 'text/plain', bytes: bytes.length, text } };
  } catch {
    return { problem: 'binary' };
  }
}
