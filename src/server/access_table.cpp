#include "server/access_table.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "api/anthropic/messages_request.h"
#include "api/field_reader.h"
#include "api/manage/account_codec.h"
#include "api/manage/catalog_json.h"
#include "api/manage/chat_codec.h"
#include "api/manage/job_codec.h"
#include "api/manage/pool_requests.h"
#include "api/manage/profile_codec.h"
#include "api/ollama/model_requests.h"
#include "api/ollama/requests.h"
#include "api/openai/chat_request.h"
#include "api/openai/completion_request.h"
#include "api/openai/response_request.h"
#include "api/tokens/token_requests.h"
#include "server/setting_routes.h"

namespace mlxd {
namespace {

constexpr auto kAnyone = AccessNeed::kAnyone;
constexpr auto kGenerate = AccessNeed::kGenerate;
constexpr auto kLook = AccessNeed::kLook;
constexpr auto kAccount = AccessNeed::kAccount;
constexpr auto kMember = AccessNeed::kMember;
constexpr auto kAdmin = AccessNeed::kAdmin;

using api::BodyForm;
using api::FieldInfo;
using api::infos_of;
namespace anthropic = api::anthropic;
namespace manage = api::manage;
namespace ollama = api::ollama;
namespace openai = api::openai;
namespace tokens = api::tokens;

// The bodies that routes take, with the fields that their decoders read.
constexpr BodyForm kChat{"ChatCompletionRequest", [] { return infos_of(openai::chat_fields()); }};
constexpr BodyForm kCompletion{"CompletionRequest", [] { return infos_of(openai::completion_fields()); }};
constexpr BodyForm kResponse{"ResponseRequest", [] { return infos_of(openai::response_fields()); }};
constexpr BodyForm kMessages{
    "MessagesRequest", [] { return infos_of(anthropic::messages_fields(anthropic::Purpose::kAnswer)); }};
constexpr BodyForm kCount{"CountTokensRequest",
                          [] { return infos_of(anthropic::messages_fields(anthropic::Purpose::kCount)); }};
constexpr BodyForm kTokenizeText{"TokenizeTextRequest", tokens::text_infos};
constexpr BodyForm kTokenizeChat{"TokenizeChatRequest", tokens::chat_infos};
constexpr BodyForm kDetokenize{"DetokenizeRequest", tokens::token_infos};
constexpr BodyForm kOllamaChat{"OllamaChatRequest", [] { return infos_of(ollama::chat_fields()); }};
constexpr BodyForm kOllamaGenerate{"OllamaGenerateRequest",
                                   [] { return infos_of(ollama::generate_fields()); }};
constexpr BodyForm kOllamaShow{"OllamaShowRequest", ollama::show_infos};
constexpr BodyForm kOllamaPull{"OllamaPullRequest", ollama::pull_infos};
constexpr BodyForm kOllamaDelete{"OllamaDeleteRequest", ollama::delete_infos};
constexpr BodyForm kOllamaCopy{"OllamaCopyRequest", ollama::copy_infos};

template <manage::AccountRequest request>
std::vector<FieldInfo> account() {
  return manage::account_infos(request);
}
constexpr BodyForm kRegister{"RegisterRequest", account<manage::AccountRequest::kRegister>};
constexpr BodyForm kLogin{"LoginRequest", account<manage::AccountRequest::kLogin>};
constexpr BodyForm kChangePassword{"ChangePasswordRequest", account<manage::AccountRequest::kChangePassword>};
constexpr BodyForm kNewUser{"NewUserRequest", account<manage::AccountRequest::kNewUser>};
constexpr BodyForm kChangeUser{"ChangeUserRequest", account<manage::AccountRequest::kChangeUser>};
constexpr BodyForm kResetPassword{"ResetPasswordRequest", account<manage::AccountRequest::kResetPassword>};
constexpr BodyForm kNewKey{"NewKeyRequest", manage::key_infos};
constexpr BodyForm kProfile{"ProfileRequest", manage::profile_infos};
constexpr BodyForm kProfileFile{"ProfileFileRequest", manage::profile_file_infos};
constexpr BodyForm kAlias{"AliasRequest", manage::alias_infos};
constexpr BodyForm kSettings{"SettingChanges", setting_field_infos};
constexpr BodyForm kKeptChat{"ChatRequest", manage::chat_infos};
constexpr BodyForm kKeptMessage{"ChatMessageRequest", manage::message_infos};
constexpr BodyForm kFolder{"ChatFolderRequest", manage::folder_infos};
constexpr BodyForm kPoolLoad{"LoadRequest", manage::pool_load_infos};
constexpr BodyForm kPoolChange{"PoolChanges", manage::pool_change_infos};
constexpr BodyForm kDownload{"DownloadRequest", manage::download_infos};
constexpr BodyForm kJob{"JobRequest", manage::job_infos};
constexpr BodyForm kTokenTest{"TokenTestRequest", manage::token_test_infos};

constexpr std::string_view kFit = "context?:integer(1..16777216)=8192 concurrency?:integer(1..1024)=1";
constexpr std::string_view kLines = "application/x-ndjson";

constexpr AccessRule kTable[] = {
    {"GET", "/healthz", kAnyone, "Says that the program runs.", {.reply = "Health"}},
    {"GET", "/readyz", kAnyone, "Says whether it answers requests; 503 if not.", {.reply = "Readiness"}},
    {"GET", "/metrics", kLook, "Figures for Prometheus.", {.reply = "string", .media_type = "text/plain"}},
    {"GET", "/openapi.json", kAnyone, "This document.", {.reply = "object"}},

    {"GET",
     "/v1/models",
     kLook,
     "Lists the models that may be asked for; in Anthropic's form where the header anthropic-version is "
     "there.",
     {.reply = "ModelList"}},
    {"GET", "/v1/models/{id...}", kLook, "Describes one model.", {.reply = "Model"}},
    {"POST",
     "/v1/chat/completions",
     kGenerate,
     "Answers a chat.",
     {.body = kChat, .reply = "ChatCompletion", .stream = "ChatCompletionChunk"}},
    {"POST",
     "/v1/completions",
     kGenerate,
     "Goes on from a prompt.",
     {.body = kCompletion, .reply = "Completion", .stream = "Completion"}},
    {"POST",
     "/v1/batch/chat/completions",
     kGenerate,
     "Answers a chat when nothing more urgent runs.",
     {.body = kChat, .reply = "ChatCompletion", .stream = "ChatCompletionChunk"}},
    {"POST",
     "/v1/batch/completions",
     kGenerate,
     "Goes on from a prompt when nothing more urgent runs.",
     {.body = kCompletion, .reply = "Completion", .stream = "Completion"}},
    {"POST",
     "/v1/messages",
     kGenerate,
     "Answers a chat, as Anthropic's API does.",
     {.body = kMessages, .reply = "Message", .stream = "MessageEvent"}},
    {"POST",
     "/v1/batch/messages",
     kGenerate,
     "Answers a chat when nothing more urgent runs.",
     {.body = kMessages, .reply = "Message", .stream = "MessageEvent"}},
    {"POST",
     "/v1/messages/count_tokens",
     kGenerate,
     "Counts the tokens of a request's prompt.",
     {.body = kCount, .reply = "TokenCount"}},
    {"POST",
     "/v1/tokenize",
     kGenerate,
     "Makes tokens of a text or of a chat.",
     {.body = kTokenizeText, .or_body = kTokenizeChat, .reply = "TokenList"}},
    {"POST",
     "/v1/detokenize",
     kGenerate,
     "Makes text of tokens.",
     {.body = kDetokenize, .reply = "TokenText"}},
    {"POST",
     "/v1/responses",
     kGenerate,
     "Answers a chat that may go on from a kept one.",
     {.body = kResponse, .reply = "Response", .stream = "ResponseEvent"}},
    {"POST",
     "/v1/batch/responses",
     kGenerate,
     "Answers a chat when nothing more urgent runs.",
     {.body = kResponse, .reply = "Response", .stream = "ResponseEvent"}},
    {"POST",
     "/v1/responses/input_tokens",
     kGenerate,
     "Counts the tokens of a request's prompt.",
     {.body = kResponse, .reply = "InputTokenCount"}},
    // One's own.
    {"GET",
     "/v1/responses/{id}",
     kGenerate,
     "Gives a kept response.",
     {.query = "stream?:'false'", .reply = "Response"}},
    {"DELETE", "/v1/responses/{id}", kGenerate, "Removes a kept response.", {.reply = "DeletedResponse"}},
    {"GET",
     "/v1/responses/{id}/input_items",
     kGenerate,
     "Lists what a kept response was asked.",
     {.query = "limit?:integer(1..100)=20 order?:'asc'|'desc'=\"desc\" after?:string", .reply = "ItemList"}},
    {"POST",
     "/v1/responses/{id}/cancel",
     kGenerate,
     "Says that there is nothing to cancel: a response is made while its reader waits.",
     {.reply = "Response"}},

    {"POST",
     "/api/chat",
     kGenerate,
     "Answers a chat, as Ollama does.",
     {.body = kOllamaChat, .reply = "OllamaChatAnswer", .stream = "OllamaChatAnswer", .stream_type = kLines}},
    {"POST",
     "/api/generate",
     kGenerate,
     "Answers a prompt, as Ollama does.",
     {.body = kOllamaGenerate,
      .reply = "OllamaGenerateAnswer",
      .stream = "OllamaGenerateAnswer",
      .stream_type = kLines}},
    {"GET", "/api/version", kLook, "Says which of Ollama's versions is spoken.", {.reply = "OllamaVersion"}},
    {"GET", "/api/tags", kLook, "Lists the models on the disk.", {.reply = "OllamaTags"}},
    {"GET", "/api/ps", kLook, "Lists the models in memory.", {.reply = "OllamaLoaded"}},
    {"POST", "/api/show", kLook, "Describes a model.", {.body = kOllamaShow, .reply = "OllamaCard"}},
    {"POST",
     "/api/pull",
     kAdmin,
     "Downloads a model.",
     {.body = kOllamaPull, .reply = "OllamaProgress", .stream = "OllamaProgress", .stream_type = kLines}},
    {"DELETE", "/api/delete", kAdmin, "Removes a model from the disk.", {.body = kOllamaDelete}},
    {"POST", "/api/copy", kMember, "Gives a model another name.", {.body = kOllamaCopy}},
    // These say that there is no such thing here.
    {"POST", "/api/embed", kLook, "Refused: there are no embedding models."},
    {"POST", "/api/embeddings", kLook, "Refused: there are no embedding models."},
    {"POST", "/api/create", kLook, "Refused: a profile has a system prompt and parameters."},
    {"POST", "/api/push", kLook, "Refused: models are uploaded to the hub."},
    {"HEAD", "/api/blobs/{digest}", kLook, "Refused: mlxd import makes a model of a GGUF."},
    {"POST", "/api/blobs/{digest}", kLook, "Refused: mlxd import makes a model of a GGUF."},

    // These judge for themselves: a stranger may register and log in.
    {"POST",
     "/api/v1/auth/register",
     kAnyone,
     "Makes an account: the first one with the setup token.",
     {.body = kRegister, .reply = "UserAnswer", .status = 201}},
    {"POST", "/api/v1/auth/login", kAnyone, "Begins a session.", {.body = kLogin, .reply = "Login"}},
    {"GET",
     "/api/v1/auth/state",
     kAnyone,
     "Says what a page needs to know before anybody has logged in.",
     {.reply = "AuthState"}},
    {"GET", "/api/v1/auth/me", kAccount, "Says whose session it is.", {.reply = "Me"}},
    {"POST", "/api/v1/auth/logout", kAccount, "Ends the session.", {.status = 204}},
    {"POST",
     "/api/v1/auth/password",
     kAccount,
     "Changes one's password.",
     {.body = kChangePassword, .status = 204}},
    {"GET", "/api/v1/auth/sessions", kAccount, "Lists where one is logged in.", {.reply = "Sessions"}},
    {"DELETE", "/api/v1/auth/sessions/{id}", kAccount, "Ends one of one's sessions.", {.status = 204}},

    {"GET", "/api/v1/users", kAdmin, "Lists all accounts.", {.reply = "Users"}},
    {"POST",
     "/api/v1/users",
     kAdmin,
     "Makes an account.",
     {.body = kNewUser, .reply = "User", .status = 201}},
    {"PATCH", "/api/v1/users/{id}", kAdmin, "Changes an account.", {.body = kChangeUser, .reply = "User"}},
    {"DELETE",
     "/api/v1/users/{id}",
     kAdmin,
     "Removes an account with its keys and chats.",
     {.reply = "RemovedUser"}},
    {"POST",
     "/api/v1/users/{id}/password",
     kAdmin,
     "Gives an account another password.",
     {.body = kResetPassword, .status = 204}},

    // One's own; administrators see all.
    {"GET", "/api/v1/keys", kMember, "Lists API keys.", {.reply = "Keys"}},
    {"POST",
     "/api/v1/keys",
     kMember,
     "Makes an API key.",
     {.body = kNewKey, .reply = "NewKey", .status = 201}},
    {"DELETE", "/api/v1/keys/{id}", kMember, "Revokes an API key.", {.status = 204}},
    {"GET", "/api/v1/keys/{id}/usage", kMember, "Says what a key has used.", {.reply = "KeyUsage"}},

    {"GET", "/api/v1/profiles", kLook, "Lists profiles.", {.reply = "Profiles"}},
    {"POST",
     "/api/v1/profiles",
     kMember,
     "Makes a profile.",
     {.body = kProfile, .reply = "Profile", .status = 201}},
    {"GET", "/api/v1/profiles/{id}", kLook, "Gives a profile.", {.reply = "Profile"}},
    {"PATCH", "/api/v1/profiles/{id}", kMember, "Changes a profile.", {.body = kProfile, .reply = "Profile"}},
    {"DELETE", "/api/v1/profiles/{id}", kMember, "Removes a profile.", {.status = 204}},
    {"POST",
     "/api/v1/profiles/{id}/duplicate",
     kMember,
     "Makes a profile like another.",
     {.body = kProfile, .reply = "Profile", .status = 201}},
    {"GET",
     "/api/v1/profiles/{id}/toml",
     kLook,
     "Gives a profile as a file.",
     {.reply = "string", .media_type = "application/toml"}},
    {"POST",
     "/api/v1/profiles/import",
     kMember,
     "Makes a profile of such a file.",
     {.body = kProfileFile, .reply = "Profile", .status = 201}},
    {"GET", "/api/v1/aliases", kLook, "Lists aliases.", {.reply = "Aliases"}},
    {"PUT",
     "/api/v1/aliases/{name}",
     kMember,
     "Makes or changes an alias.",
     {.body = kAlias, .reply = "Alias"}},
    {"DELETE", "/api/v1/aliases/{name}", kMember, "Removes an alias.", {.status = 204}},

    {"GET", "/api/v1/settings", kAdmin, "Lists settings.", {.reply = "Settings"}},
    {"PATCH", "/api/v1/settings", kAdmin, "Changes settings.", {.body = kSettings, .reply = "Settings"}},
    {"POST", "/api/v1/settings/rotate-key", kAdmin, "Seals what is secret with a new key.", {.status = 204}},
    {"GET", "/api/v1/system", kLook, "Says how the program is.", {.reply = "System"}},

    {"GET",
     "/api/v1/chats",
     kAccount,
     "Lists one's chats.",
     {.query = "q?:string folder?:string limit?:integer(0..500)=100 offset?:integer(0..1000000000)=0",
      .reply = "Chats"}},
    {"POST", "/api/v1/chats", kAccount, "Keeps a chat.", {.body = kKeptChat, .reply = "Chat", .status = 201}},
    {"GET", "/api/v1/chats/{id}", kAccount, "Gives a chat with its messages.", {.reply = "Chat"}},
    {"PATCH", "/api/v1/chats/{id}", kAccount, "Changes a chat.", {.body = kKeptChat, .reply = "Chat"}},
    {"DELETE", "/api/v1/chats/{id}", kAccount, "Removes a chat.", {.status = 204}},
    {"POST",
     "/api/v1/chats/{id}/messages",
     kAccount,
     "Adds a message to a chat.",
     {.body = kKeptMessage, .reply = "KeptMessage", .status = 201}},
    {"DELETE",
     "/api/v1/chats/{id}/messages/{message}",
     kAccount,
     "Removes a message and what follows it.",
     {.status = 204}},
    {"GET", "/api/v1/chat-folders", kAccount, "Lists folders of chats.", {.reply = "ChatFolders"}},
    {"POST",
     "/api/v1/chat-folders",
     kAccount,
     "Makes a folder.",
     {.body = kFolder, .reply = "ChatFolder", .status = 201}},
    {"PATCH", "/api/v1/chat-folders/{id}", kAccount, "Renames a folder.", {.body = kFolder, .status = 204}},
    {"DELETE", "/api/v1/chat-folders/{id}", kAccount, "Removes a folder; its chats stay.", {.status = 204}},

    {"GET", "/api/v1/servers", kLook, "Says which models are loaded, and what they take.", {.reply = "Pool"}},
    {"PATCH",
     "/api/v1/servers",
     kAdmin,
     "Changes how models share the memory.",
     {.body = kPoolChange, .reply = "Pool"}},
    {"POST",
     "/api/v1/servers",
     kMember,
     "Loads a model.",
     {.body = kPoolLoad, .reply = "PooledModel", .status = 202}},
    {"GET",
     "/api/v1/servers/{model...}",
     kLook,
     "Says how a model is; with /events after its name, its loading as a stream.",
     {.reply = "PooledModel", .stream = "LoadProgress"}},
    {"POST",
     "/api/v1/servers/{model...}",
     kAdmin,
     "Pins a model, with /pin after its name, or not (/unpin).",
     {.reply = "PooledModel"}},
    {"DELETE",
     "/api/v1/servers/{model...}",
     kAdmin,
     "Unloads a model; cancel: with what runs on it.",
     {.query = "mode?:'wait'|'cancel'=\"wait\"", .reply = "PooledModel"}},

    {"GET",
     "/api/v1/models",
     kLook,
     "Lists the models on the disk, and whether they fit.",
     {.query = kFit, .reply = "CatalogModels"}},
    {"GET",
     "/api/v1/models/{id...}",
     kLook,
     "Describes a model on the disk.",
     {.query = kFit, .reply = "CatalogModel"}},
    {"DELETE",
     "/api/v1/models/{id...}",
     kAdmin,
     "Removes a model from the disk, or one revision of it.",
     {.query = "revision?:string added?:'0'|'1'=\"0\"", .reply = "RemovedFiles"}},
    {"POST",
     "/api/v1/models/scan",
     kMember,
     "Looks at the disk anew.",
     {.query = kFit, .reply = "CatalogModels"}},
    {"GET",
     "/api/v1/hub/models",
     kMember,
     "Searches the hub.",
     {.query = "search?:string author?:string tag?:string[] sort?:string limit?:integer(1..100)=20 "
               "cursor?:string all?:'0'|'1'=\"0\"",
      .reply = "HubModels"}},
    {"GET",
     "/api/v1/hub/models/{id...}",
     kMember,
     "Describes a repository of the hub.",
     {.query = "revision?:string context?:integer(1..16777216)=8192 concurrency?:integer(1..1024)=1",
      .reply = "HubModel"}},
    {"GET",
     "/api/v1/hub/variants",
     kMember,
     "Lists conversions of a model, and which fits best.",
     {.query = "of:string context?:integer(1..16777216)=8192 concurrency?:integer(1..1024)=1",
      .reply = "HubVariants"}},
    {"GET",
     "/api/v1/hub/recommended",
     kLook,
     "Lists models to begin with, and which fit.",
     {.query = kFit, .reply = "RecommendedModels"}},
    {"POST",
     "/api/v1/hub/token-test",
     kAdmin,
     "Says whose a token of the hub is.",
     {.body = kTokenTest, .reply = "HubAccount"}},
    {"GET", "/api/v1/downloads", kLook, "Lists downloads.", {.reply = "Downloads"}},
    {"POST",
     "/api/v1/downloads",
     kAdmin,
     "Downloads a model.",
     {.body = kDownload, .reply = "Download", .status = 202}},
    {"GET", "/api/v1/downloads/{id}", kLook, "Says how far a download is.", {.reply = "Download"}},
    {"DELETE",
     "/api/v1/downloads/{id}",
     kAdmin,
     "Cancels a download, or forgets one that is over.",
     {.status = 204}},
    {"POST", "/api/v1/downloads/{id}/pause", kAdmin, "Pauses a download.", {.reply = "Download"}},
    {"POST", "/api/v1/downloads/{id}/resume", kAdmin, "Goes on with a download.", {.reply = "Download"}},
    {"POST", "/api/v1/downloads/{id}/cancel", kAdmin, "Cancels a download.", {.reply = "Download"}},
    {"GET", "/api/v1/events", kLook, "Tells what changes, as a stream.", {.stream = "ServerEvent"}},

    // One's own; administrators see all. Kinds that change what all have, and paths, are theirs.
    {"GET",
     "/api/v1/jobs",
     kLook,
     "Lists long jobs over models.",
     {.query = "kind?:string state?:string limit?:integer(0..1000)=100", .reply = "Jobs"}},
    {"POST", "/api/v1/jobs", kMember, "Begins a job.", {.body = kJob, .reply = "Job", .status = 202}},
    {"GET",
     "/api/v1/jobs/kinds",
     kLook,
     "Lists what jobs there are, and what they take.",
     {.reply = "JobKinds"}},
    {"GET", "/api/v1/jobs/{id}", kLook, "Says how far a job is.", {.reply = "Job"}},
    {"DELETE", "/api/v1/jobs/{id}", kMember, "Forgets a job that is over.", {.status = 204}},
    {"GET",
     "/api/v1/jobs/{id}/log",
     kLook,
     "Gives a job's log.",
     {.query = "from?:integer(0..1099511627776)=0 limit?:integer(0..1000)=1000", .reply = "JobLog"}},
    {"POST", "/api/v1/jobs/{id}/cancel", kMember, "Stops a job.", {.reply = "Job"}},
};

}  // namespace

std::string_view to_string(AccessNeed need) {
  switch (need) {
    case AccessNeed::kAnyone:
      return "anyone";
    case AccessNeed::kGenerate:
      return "generate";
    case AccessNeed::kLook:
      return "look";
    case AccessNeed::kAccount:
      return "account";
    case AccessNeed::kMember:
      return "member";
    case AccessNeed::kAdmin:
      return "admin";
  }
  return "admin";
}

std::span<const AccessRule> access_table() { return kTable; }

const AccessRule* find_access_rule(std::string_view method, std::string_view pattern) {
  const auto row = std::find_if(std::begin(kTable), std::end(kTable), [&](const AccessRule& rule) {
    return rule.method == method && rule.pattern == pattern;
  });
  return row == std::end(kTable) ? nullptr : row;
}

}  // namespace mlxd
