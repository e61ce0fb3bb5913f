// The dialects that scripted models speak: which template and tokens each has, and how a model of it writes an
// answer. Written from the models' own documentation, not from the server's parsers.

const json = JSON.stringify;
const jsonCall = ({ name, input }) => `{"name": ${json(name)}, "arguments": ${json(input)}}`;
/** A value between tags: text as it is, all else as JSON. */
const tagged = (value) => (typeof value === 'string' ? value : json(value));

const CHATML = ['<|im_start|>', '<|im_end|>'];

/**
 * By name: `template` (of tests/parity/templates), `modelType`, `end` (the token that ends an answer), `special`
 * and `plain` (tokens to add, of either kind), `thinks` (whether the dialect has marks for reasoning),
 * `manyCalls` (whether an answer may have several), `otherWhenForced` (whether the server holds the model to another
 * form of calls where it must call), and `write({ thought, text, calls })`, an answer as the model writes it. `calls` are `{ name, input }`.
 */
export const DIALECTS = {
  hermes: {
    template: 'hermes', modelType: 'qwen2', end: '<|im_end|>', special: CHATML, plain: ['<tool_call>', '</tool_call>'], manyCalls: true,
    write: ({ text = '', calls = [] }) => [text, ...calls.map((call) => `<tool_call>\n${jsonCall(call)}\n</tool_call>`)].filter(Boolean).join('\n'),
  },
  qwen3: {
    template: 'qwen3', modelType: 'qwen3', end: '<|im_end|>', special: CHATML, thinks: true, manyCalls: true,
    plain: ['<tool_call>', '</tool_call>', '<think>', '</think>'],
    write: ({ thought, text = '', calls = [] }) =>
      (thought ? `<think>\n${thought}\n</think>\n\n` : '') + DIALECTS.hermes.write({ text, calls }),
  },
  qwen3_coder: {
    template: 'qwen3_coder', modelType: 'qwen3_moe', end: '<|im_end|>', special: CHATML, plain: ['<tool_call>', '</tool_call>'], manyCalls: true,
    write: ({ text = '', calls = [] }) => {
      const written = calls.map(({ name, input }) => {
        const parameters = Object.entries(input).map(([key, value]) => `<parameter=${key}>\n${tagged(value)}\n</parameter>\n`);
        return `<tool_call>\n<function=${name}>\n${parameters.join('')}</function>\n</tool_call>`;
      });
      return [text, ...written].filter(Boolean).join('\n');
    },
  },
  llama3: {
    template: 'llama3', modelType: 'llama', end: '<|eot_id|>', bos: '<|begin_of_text|>', plain: [],
    special: ['<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>', '<|eom_id|>', '<|python_tag|>'],
    // A call stands alone in this kin's answers.
    write: ({ text = '', calls = [] }) =>
      calls.length > 0 ? calls.map(({ name, input }) => `{"name": ${json(name)}, "parameters": ${json(input)}}`).join('; ') : text,
  },
  mistral_v3: {
    template: 'mistral_v3', modelType: 'mistral', end: '</s>', bos: '<s>', plain: [], manyCalls: true, otherWhenForced: true,
    special: ['<s>', '</s>', '[INST]', '[/INST]', '[TOOL_CALLS]', '[AVAILABLE_TOOLS]', '[/AVAILABLE_TOOLS]', '[TOOL_RESULTS]', '[/TOOL_RESULTS]'],
    write: ({ text = '', calls = [] }) => text + (calls.length > 0 ? `[TOOL_CALLS] [${calls.map(jsonCall).join(', ')}]` : ''),
  },
  mistral_v11: {
    template: 'mistral_v11', modelType: 'mistral3', end: '</s>', bos: '<s>', plain: [], thinks: true, manyCalls: true,
    special: ['<s>', '</s>', '[INST]', '[/INST]', '[SYSTEM_PROMPT]', '[/SYSTEM_PROMPT]', '[TOOL_CALLS]', '[ARGS]', '[CALL_ID]', '[THINK]', '[/THINK]',
      '[AVAILABLE_TOOLS]', '[/AVAILABLE_TOOLS]', '[TOOL_RESULTS]', '[/TOOL_RESULTS]', '[TOOL_CONTENT]'],
    write: ({ thought, text = '', calls = [] }) =>
      (thought ? `[THINK]${thought}[/THINK]` : '') + text + calls.map(({ name, input }) => `[TOOL_CALLS]${name}[ARGS]${json(input)}`).join(''),
  },
  deepseek_v3_1: {
    template: 'deepseek_v3_1', modelType: 'deepseek_v3', end: '<｜end▁of▁sentence｜>', bos: '<｜begin▁of▁sentence｜>', manyCalls: true,
    special: ['<｜begin▁of▁sentence｜>', '<｜end▁of▁sentence｜>'],
    plain: ['<｜User｜>', '<｜Assistant｜>', '<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>', '<｜tool▁call▁begin｜>', '<｜tool▁call▁end｜>',
      '<｜tool▁sep｜>', '<｜tool▁output▁begin｜>', '<｜tool▁output▁end｜>', '<think>', '</think>'],
    write: ({ text = '', calls = [] }) => {
      const written = calls.map(({ name, input }) => `<｜tool▁call▁begin｜>${name}<｜tool▁sep｜>${json(input)}<｜tool▁call▁end｜>`);
      return text + (calls.length > 0 ? `<｜tool▁calls▁begin｜>${written.join('')}<｜tool▁calls▁end｜>` : '');
    },
  },
  glm4_5: {
    template: 'glm4_5', modelType: 'glm4_moe', end: '<|user|>', thinks: true, manyCalls: true,
    special: ['[gMASK]', '<sop>', '<|system|>', '<|user|>', '<|assistant|>', '<|observation|>'],
    plain: ['<think>', '</think>', '<tool_call>', '</tool_call>', '<arg_key>', '</arg_key>', '<arg_value>', '</arg_value>', '<tool_response>', '</tool_response>'],
    write: ({ thought = '', text = '', calls = [] }) => {
      const written = calls.map(({ name, input }) => {
        const values = Object.entries(input).map(([key, value]) => `<arg_key>${key}</arg_key>\n<arg_value>${tagged(value)}</arg_value>\n`);
        return `\n<tool_call>${name}\n${values.join('')}</tool_call>`;
      });
      return `<think>${thought}</think>\n${text}${written.join('')}`;
    },
  },
  gpt_oss: {
    template: 'gpt_oss', modelType: 'gpt_oss', end: '<|return|>', plain: [], thinks: true,
    special: ['<|startoftext|>', '<|start|>', '<|end|>', '<|message|>', '<|channel|>', '<|constrain|>', '<|call|>', '<|return|>'],
    // One call ends the answer; a text before it is a preamble in the commentary.
    write: ({ thought, text = '', calls = [] }) => {
      const messages = [];
      if (thought) messages.push(`<|channel|>analysis<|message|>${thought}<|end|>`);
      if (text && calls.length > 0) messages.push(`<|channel|>commentary<|message|>${text}<|end|>`);
      if (calls.length === 0) messages.push(`<|channel|>final<|message|>${text}`);
      for (const { name, input } of calls.slice(0, 1)) {
        messages.push(`<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>${json(input)}<|call|>`);
      }
      return messages.join('<|start|>assistant');
    },
  },
  kimi_k2: {
    template: 'kimi_k2', modelType: 'kimi_k2', end: '<|im_end|>', manyCalls: true,
    special: ['<|im_end|>', '<|im_user|>', '<|im_assistant|>', '<|im_system|>', '<|im_middle|>', '<|tool_calls_section_begin|>', '<|tool_calls_section_end|>',
      '<|tool_call_begin|>', '<|tool_call_argument_begin|>', '<|tool_call_end|>'],
    plain: [],
    write: ({ text = '', calls = [] }) => {
      const written = calls.map(({ name, input }, index) =>
        `<|tool_call_begin|>functions.${name}:${index}<|tool_call_argument_begin|>${json(input)}<|tool_call_end|>`);
      return text + (calls.length > 0 ? `<|tool_calls_section_begin|>${written.join('')}<|tool_calls_section_end|>` : '');
    },
  },
};
