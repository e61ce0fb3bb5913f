// The types of requests and answers that have a name, in the notation of type_notation.h.
#include <iterator>

#include "api/document/open_api.h"

namespace mlxd::api {
namespace {

constexpr Component kComponents[] = {
    // Errors.
    {"OpenAiErrorBody", "An error as OpenAI's clients read it.", "error:OpenAiErrorDetails"},
    {"OpenAiErrorDetails", "What went wrong; param is the field.",
     "message:string type:string param:string|null code:string|null"},
    {"AnthropicErrorBody", "An error as Anthropic's clients read it.",
     "type:'error' error:AnthropicErrorDetails request_id?:string"},
    {"AnthropicErrorDetails", "What went wrong.", "type:string message:string"},
    {"OllamaErrorBody", "An error as Ollama's clients read it.", "error:string"},
    {"ProblemBody", "Problem details (RFC 9457).",
     "type:string title:string status:integer detail:string instance:string code:string field?:string "
     "request_id:string"},

    // Requests of OpenAI's API.
    {"ChatMessage", "One turn of a chat.",
     "role:'system'|'developer'|'user'|'assistant'|'tool' content?:string|ContentPart[]|null "
     "name?:string|null "
     "tool_call_id?:string|null tool_calls?:ToolCall[]|null reasoning_content?:string|null "
     "reasoning?:string|null"},
    {"ContentPart", "A part of a turn's text.", "type:'text'|'refusal' text?:string refusal?:string"},
    {"ToolCall", "A call of a tool.", "id?:string type?:'function' function:FunctionCall"},
    {"FunctionCall", "What is called, and with what.", "name:string arguments?:string|object"},
    {"Tool", "A function that the model may call.", "type:'function' function:FunctionDeclaration"},
    {"FunctionDeclaration",
     "A function and the JSON Schema of its arguments; strict: the schema is enforced.",
     "name:string description?:string|null parameters?:object|null strict?:boolean|null"},
    {"NamedTool", "The one function to call.", "type:'function' function:NamedFunction"},
    {"NamedFunction", "A function's name.", "name:string"},
    {"Prediction", "Text that the answer is likely to have in it.",
     "type:'content' content:string|ContentPart[]"},
    {"ResponseFormat",
     "What an answer's text is to match: JSON, a schema, a regular expression, a Lark grammar.",
     "type:'text'|'json_object'|'json_schema'|'regex'|'lark' json_schema?:NamedSchema regex?:string "
     "lark?:string"},
    {"NamedSchema", "A JSON Schema.",
     "name?:string description?:string|null schema:object strict?:boolean|null"},
    {"TextFormat", "What an answer's text is to match.",
     "type:'text'|'json_object'|'json_schema' name?:string description?:string|null schema?:object "
     "strict?:boolean|null"},
    {"InputItem",
     "One item of a chat: a message, a call, a call's result, reasoning, or a reference to a kept item. "
     "Items of "
     "tools that run elsewhere are let be.",
     "type?:string|null id?:string|null role?:string content?:any call_id?:string name?:string "
     "arguments?:string input?:string output?:any summary?:any encrypted_content?:string|null "
     "status?:string|null"},
    {"ResponseTool", "A function, or a tool that takes text (custom).",
     "type:string name?:string description?:string|null parameters?:object|null strict?:boolean|null "
     "format?:object|null"},

    // Answers of OpenAI's API.
    {"ChatCompletion", "A chat's answer.",
     "id:string object:'chat.completion' created:integer model:string system_fingerprint:string "
     "choices:ChatChoice[] usage:Usage mlxd?:CacheReport"},
    {"ChatChoice", "One answer.",
     "index:integer message:ChatAnswer logprobs:ChatLogprobs|null "
     "finish_reason:'stop'|'length'|'tool_calls'"},
    {"ChatAnswer", "What the model says.",
     "role:'assistant' content:string|null refusal:null reasoning_content?:string reasoning?:string "
     "tool_calls?:AnswerToolCall[]"},
    {"AnswerToolCall", "A call that the model wants.",
     "id:string type:'function' function:AnswerFunctionCall"},
    {"AnswerFunctionCall", "What is called; arguments is JSON.", "name:string arguments:string"},
    {"ChatLogprobs", "The tokens of an answer.", "content:TokenLogprob[] refusal:null"},
    {"TokenLogprob", "A token, and what stood beside it.",
     "token:string logprob:number bytes:integer[] top_logprobs:TopLogprob[]"},
    {"TopLogprob", "One of the likeliest tokens.", "token:string logprob:number bytes:integer[]"},
    {"ChatCompletionChunk", "A piece of a streamed answer; the stream ends with [DONE].",
     "id:string object:'chat.completion.chunk' created:integer model:string system_fingerprint:string "
     "choices:ChatChunkChoice[] usage?:Usage|null mlxd?:CacheReport"},
    {"ChatChunkChoice", "What one answer goes on with.",
     "index:integer delta:ChatDelta logprobs:ChatLogprobs|null "
     "finish_reason:'stop'|'length'|'tool_calls'|null"},
    {"ChatDelta", "What is new.",
     "role?:'assistant' content?:string refusal?:null reasoning_content?:string reasoning?:string "
     "tool_calls?:ToolCallDelta[]"},
    {"ToolCallDelta", "What is new of a call.",
     "index:integer id?:string type?:'function' function:FunctionCallDelta"},
    {"FunctionCallDelta", "What is new of it.", "name?:string arguments:string"},
    {"Usage", "What a request has used, counted.",
     "prompt_tokens:integer completion_tokens:integer total_tokens:integer "
     "prompt_tokens_details:PromptTokenDetails completion_tokens_details?:CompletionTokenDetails"},
    {"PromptTokenDetails", "Of the prompt.", "cached_tokens:integer"},
    {"CompletionTokenDetails", "Of the answer.",
     "reasoning_tokens?:integer accepted_prediction_tokens?:integer rejected_prediction_tokens?:integer"},
    {"CacheReport",
     "How far the prompt was in the cache, for requests that ask by the header x-mlxd-explain.", "cache:any"},
    {"Completion", "What goes on from a prompt.",
     "id:string object:'text_completion' created:integer model:string system_fingerprint:string "
     "choices:CompletionChoice[] usage?:Usage|null mlxd?:CacheReport"},
    {"CompletionChoice", "One answer, or in a stream a piece of one.",
     "text:string index:integer logprobs:CompletionLogprobs|null "
     "finish_reason:'stop'|'length'|'tool_calls'|null"},
    {"CompletionLogprobs",
     "The tokens of an answer; with echo those of the prompt come first, of which the first has no "
     "log-probability.",
     "tokens:string[] token_logprobs:(number|null)[] top_logprobs:(object|null)[] text_offset:integer[]"},
    {"Response", "An answer with what was asked.",
     "id:string object:'response' created_at:integer status:'completed'|'incomplete'|'failed'|'in_progress' "
     "completed_at:integer|null error:ResponseError|null incomplete_details:IncompleteDetails|null "
     "model:string "
     "output:OutputItem[] usage:ResponseUsage|null store:boolean instructions:string|null "
     "max_output_tokens:integer|null metadata:object parallel_tool_calls:boolean "
     "previous_response_id:string|null reasoning:object temperature:number text:object tool_choice:any "
     "tools:object[] top_logprobs:integer top_p:number truncation:string mlxd?:CacheReport"},
    {"ResponseError", "Why a response failed.", "code:string message:string"},
    {"IncompleteDetails", "Why a response ended before its end.", "reason:string"},
    {"ResponseUsage", "What a response has used, counted.",
     "input_tokens:integer input_tokens_details:object output_tokens:integer output_tokens_details:object "
     "total_tokens:integer"},
    {"OutputItem", "A message, a call or reasoning.",
     "id:string type:'message'|'reasoning'|'function_call'|'custom_tool_call' status:string "
     "role?:'assistant' "
     "content?:object[] summary?:object[] encrypted_content?:string call_id?:string name?:string "
     "arguments?:string input?:string"},
    {"ResponseEvent", "A step of a streamed response; the last one has the whole.",
     "type:string sequence_number:integer response?:Response item?:object item_id?:string "
     "output_index?:integer "
     "content_index?:integer summary_index?:integer part?:object delta?:string text?:string"},
    {"ItemList", "A page of items.",
     "object:'list' data:object[] first_id:string|null last_id:string|null has_more:boolean"},
    {"DeletedResponse", "What is gone.", "id:string object:'response' deleted:boolean"},
    {"InputTokenCount", "How many tokens a request's prompt has.",
     "object:'response.input_tokens' input_tokens:integer"},
    {"ModelList", "What may be asked for.", "object:'list' data:Model[]"},
    {"Model", "A model, an adapter's or a name for one.",
     "id:string object:'model' created:integer owned_by:string loaded:boolean parent?:string "
     "context_length?:integer parameters?:integer architecture?:string quantization?:string "
     "size_bytes?:integer "
     "capabilities:string[]"},

    // Anthropic's API.
    {"TextBlock", "A text.", "type:'text' text:string cache_control?:object|null"},
    {"MessageParam", "One turn of a chat.", "role:'user'|'assistant'|'system' content:string|ContentBlock[]"},
    {"ContentBlock",
     "A part of a turn: text, a document's text, a search result, thinking, a call of a tool or its result.",
     "type:string text?:string id?:string name?:string input?:object tool_use_id?:string content?:any "
     "is_error?:boolean|null thinking?:string signature?:string data?:string source?:any title?:string|null "
     "context?:string|null cache_control?:object|null"},
    {"MessageTool", "A tool that the model may call.",
     "type?:string|null name?:string description?:string input_schema?:object strict?:boolean|null"},
    {"ToolChoice", "Whether tools are called.",
     "type:'auto'|'any'|'tool'|'none' name?:string disable_parallel_tool_use?:boolean|null"},
    {"Thinking", "Whether the model thinks, for how many tokens at most, and whether that is shown.",
     "type:'enabled'|'adaptive'|'between_tools'|'disabled' budget_tokens?:integer|null "
     "display?:'summarized'|'omitted'|null"},
    {"SchemaFormat", "A schema that the answer's text is to match.", "type:'json_schema' schema:object"},
    {"Message", "An answer.",
     "id:string type:'message' role:'assistant' model:string content:AnswerBlock[] stop_reason:string|null "
     "stop_sequence:string|null usage:MessageUsage mlxd?:CacheReport"},
    {"AnswerBlock", "A part of an answer.",
     "type:'text'|'thinking'|'tool_use' text?:string thinking?:string signature?:string id?:string "
     "name?:string "
     "input?:object"},
    {"MessageUsage", "What a request has used, counted.",
     "input_tokens:integer cache_creation_input_tokens:integer cache_read_input_tokens:integer "
     "output_tokens:integer"},
    {"MessageEvent", "A step of a streamed answer.",
     "type:'message_start'|'ping'|'content_block_start'|'content_block_delta'|'content_block_stop'|"
     "'message_delta'|'message_stop'|'error' message?:object index?:integer content_block?:object "
     "delta?:object "
     "usage?:object error?:AnthropicErrorDetails"},
    {"TokenCount", "How many tokens a request's prompt has.", "input_tokens:integer"},

    // Tokens.
    {"TokenList", "A prompt's tokens.",
     "tokens:integer[] count:integer context_length:integer pieces?:string[]"},
    {"TokenText", "What tokens spell.", "text:string"},

    // Ollama's API.
    {"OllamaMessage", "One turn of a chat.",
     "role:string content?:string|null images?:string[]|null tool_calls?:object[]|null thinking?:string|null "
     "tool_name?:string|null"},
    {"OllamaChatAnswer", "An answer, or in a stream a piece of one; times in nanoseconds.",
     "model:string created_at:string message:OllamaAnswerMessage done:boolean done_reason?:string "
     "logprobs?:object[] total_duration?:integer load_duration?:integer prompt_eval_count?:integer "
     "prompt_eval_duration?:integer eval_count?:integer eval_duration?:integer mlxd?:CacheReport"},
    {"OllamaAnswerMessage", "What the model says.",
     "role:'assistant' content:string thinking?:string tool_calls?:object[]"},
    {"OllamaGenerateAnswer", "An answer, or in a stream a piece of one; times in nanoseconds.",
     "model:string created_at:string response:string thinking?:string done:boolean done_reason?:string "
     "logprobs?:object[] total_duration?:integer load_duration?:integer prompt_eval_count?:integer "
     "prompt_eval_duration?:integer eval_count?:integer eval_duration?:integer mlxd?:CacheReport"},
    {"OllamaVersion", "The version of Ollama's API that is spoken, and this program's.",
     "version:string mlxd:string"},
    {"OllamaTags", "The models that are here.", "models:OllamaModel[]"},
    {"OllamaModel", "A model on the disk.",
     "name:string model:string modified_at:string size:integer digest:string details:OllamaDetails "
     "capabilities:string[]"},
    {"OllamaDetails", "What a model is.",
     "parent_model:string format:string family:string families:string[] parameter_size:string "
     "quantization_level:string"},
    {"OllamaLoaded", "The models that are loaded.", "models:OllamaLoadedModel[]"},
    {"OllamaLoadedModel", "A model in memory.",
     "name:string model:string size:integer digest:string details:OllamaDetails expires_at:string "
     "size_vram:integer context_length:integer"},
    {"OllamaCard", "What is known of a model.",
     "license?:string modelfile:string parameters?:string template?:string system?:string "
     "details:OllamaDetails model_info:object capabilities:string[] modified_at:string"},
    {"OllamaProgress", "How far a download is.",
     "status?:string digest?:string total?:integer completed?:integer error?:string"},

    // The server.
    {"Health", "That it runs.", "status:string"},
    {"Readiness", "Whether it answers requests.", "status:'ready'|'loading'|'draining'"},

    // Management.
    {"AuthState", "What a page needs to know before anybody has logged in.",
     "has_users:boolean open:boolean signed_in:boolean"},
    {"User", "An account.",
     "id:string email:string name:string role:string status:string created_at:integer "
     "last_login_at:integer|null"},
    {"UserAnswer", "An account.", "user:User"},
    {"Me", "The caller's account.", "user:User csrf_token?:string"},
    {"Login", "A new session; token, where no cookie was asked for.",
     "user:User csrf_token:string expires_at:integer token?:string"},
    {"Sessions", "Where an account is logged in.", "sessions:Session[]"},
    {"Session", "A session.",
     "id:string created_at:integer expires_at:integer address:string agent:string current:boolean"},
    {"Users", "All accounts.", "users:User[]"},
    {"RemovedUser", "What went with an account.", "removed:User keys_removed:integer chats_removed:integer"},
    {"Keys", "API keys.", "keys:Key[]"},
    {"Key", "An API key, without its secret.",
     "id:string name:string user:string hint:string models:string[] endpoints:string[] cloud:boolean "
     "admin:boolean priority:string cache_salt:string requests_per_minute:integer tokens_per_minute:integer "
     "max_concurrent:integer tokens_per_month:integer created_at:integer expires_at:integer|null "
     "last_used_at:integer|null"},
    {"NewKey", "An API key; its secret is shown this once.",
     "id:string key:string name:string user:string hint:string models:string[] endpoints:string[] "
     "cloud:boolean "
     "admin:boolean priority:string cache_salt:string requests_per_minute:integer tokens_per_minute:integer "
     "max_concurrent:integer tokens_per_month:integer created_at:integer expires_at:integer|null "
     "last_used_at:integer|null"},
    {"KeyUsage", "What a key has used, by month.", "id:string usage:MonthUsage[]"},
    {"MonthUsage", "One month.",
     "month:string requests:integer prompt_tokens:integer completion_tokens:integer"},
    {"Profiles", "All profiles.", "profiles:Profile[]"},
    {"Profile", "A model with defaults under a name of its own.",
     "id:string name:string description:string model:string defaults:object auto_load:boolean "
     "created_at:integer changed_at:integer"},
    {"Aliases", "All aliases.", "aliases:Alias[]"},
    {"Alias", "Another name for a model.", "name:string model:string"},
    {"Settings", "All settings.", "settings:Setting[]"},
    {"Setting", "A setting: what it is, what it says, and where that comes from.",
     "name:string kind:string category:string help:string default:string effect:string choices?:string "
     "min?:integer max?:integer value:any from:string restart_needed?:boolean is_set?:boolean"},
    {"SettingChanges", "Settings by name; null: the default.", ""},
    {"System", "How the program is.",
     "started_at:integer uptime_s:integer memory_bytes:integer open_connections:integer "
     "loaded_models:string[] "
     "state_folder?:string"},
    {"Chats", "Chats that are kept.", "chats:Chat[]"},
    {"Chat", "A chat.",
     "id:string title:string model:string folder_id:string|null pinned:boolean current_message:string|null "
     "created_at:integer changed_at:integer messages?:KeptMessage[]"},
    {"KeptMessage", "A message of a kept chat.",
     "id:string parent_id:string|null role:string text:string details:object created_at:integer"},
    {"ChatFolders", "The folders of chats.", "folders:ChatFolder[]"},
    {"ChatFolder", "A folder of chats.", "id:string name:string created_at:integer"},
    {"Pool", "What models take, and each of them.",
     "budget:object settings:object process:object waiting_requests:integer servers:PooledModel[]"},
    {"PooledModel", "A model and its memory.",
     "model:string state:'loading'|'ready'|'unloading'|'waiting'|'failed'|'unloaded' in_use:integer "
     "waiting_requests:integer pinned:boolean preloaded:boolean closing:boolean "
     "keep_alive_left_s:number|null "
     "memory:object running?:integer queued?:integer kv_pages?:object generated_tokens?:integer "
     "tokens_per_second?:number loaded_at?:integer requests:integer loads:integer load_seconds:number "
     "progress:object|null last_error:object|null"},
    {"LoadProgress", "A step of a model's loading.",
     "model:string step:string elapsed_s?:number fraction?:number message?:string"},
    {"CatalogModels", "The models on the disk.", "models:CatalogModel[]"},
    {"CatalogModel", "A model on the disk: what it is, and whether it fits.",
     "id:string source:'hub'|'folder'|'added'|'path' path:string loaded:boolean supported:boolean "
     "problem:string|null "
     "modified:integer facts:object fit:object repository?:object"},
    {"RemovedFiles", "What is gone from the disk.", "freed_bytes:integer commits:string[] refs:string[]"},
    {"HubModels", "What the hub has.", "models:HubModel[] next:string|null"},
    {"HubModel", "A repository of the hub.",
     "id:string author:string commit:string|null downloads:integer likes:integer last_modified:string "
     "library:string task:string architecture:string license:string gated:boolean|string private:boolean "
     "storage_bytes:integer weight_bytes:integer|null bits:integer base_models:string[] tags:string[] "
     "files?:object[] here?:boolean supported?:boolean card?:string|null facts?:object fit?:object "
     "recommended?:boolean"},
    {"HubVariants", "Conversions of one model.", "base:string recommended:string|null variants:HubModel[]"},
    {"HubAccount", "Whose token it is.",
     "name:string|null token_name:string|null role:string|null from:string"},
    {"Downloads", "All downloads.", "downloads:Download[]"},
    {"Download", "A download, and how far it is.",
     "id:string model:string revision:string commit:string|null state:string message:string|null "
     "waiting:string|null total_bytes:integer present_bytes:integer bytes_per_s:number "
     "seconds_left:number|null "
     "created:integer ended:integer|null snapshot:string|null version:integer files:object[]"},
    {"RecommendedModels", "Models to begin with.",
     "as_of:string memory_bytes:integer models:RecommendedModel[]"},
    {"RecommendedModel", "A model to begin with, and whether it fits.",
     "id:string purpose:'chat'|'code'|'reasoning' note:string active_parameters:integer|null facts:object "
     "fit:object "
     "recommended:boolean here:boolean supported:boolean"},
    {"Jobs", "Jobs, the newest first.", "jobs:Job[]"},
    {"Job", "A long job over models, and how far it is.",
     "id:string kind:string user:string|null parameters:object|null "
     "state:'queued'|'running'|'done'|'failed'|'cancelled'|'interrupted' cancelling:boolean "
     "jobs_before:integer "
     "step:string progress:number error:JobError|null result:object|null log_lines:integer "
     "created_at:integer "
     "started_at:integer|null ended_at:integer|null"},
    {"JobError", "Why a job has no result.", "code:string message:string"},
    {"JobKinds", "What jobs there are.", "kinds:JobKind[]"},
    {"JobKind", "A kind of job and its parameters.",
     "kind:string about:string admin_only:boolean parameters:object[]"},
    {"JobLog", "Lines of a job's log, and where the next ones begin.", "lines:JobLogLine[] next:integer"},
    {"JobLogLine", "A line of a job's log.", "number:integer at:integer text:string"},
    {"ServerEvent", "What has changed; the event's name says where.", ""},
};

}  // namespace

std::span<const Component> components() { return kComponents; }

}  // namespace mlxd::api
