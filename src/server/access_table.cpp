#include "server/access_table.h"

#include <algorithm>
#include <iterator>

namespace mlxd {
namespace {

constexpr auto kAnyone = AccessNeed::kAnyone;
constexpr auto kGenerate = AccessNeed::kGenerate;
constexpr auto kLook = AccessNeed::kLook;
constexpr auto kAccount = AccessNeed::kAccount;
constexpr auto kMember = AccessNeed::kMember;
constexpr auto kAdmin = AccessNeed::kAdmin;

constexpr AccessRule kTable[] = {
    {"GET", "/healthz", kAnyone},
    {"GET", "/readyz", kAnyone},
    {"GET", "/metrics", kLook},

    {"GET", "/v1/models", kLook},
    {"GET", "/v1/models/{id...}", kLook},
    {"POST", "/v1/chat/completions", kGenerate},
    {"POST", "/v1/completions", kGenerate},
    {"POST", "/v1/batch/chat/completions", kGenerate},
    {"POST", "/v1/batch/completions", kGenerate},
    {"POST", "/v1/messages", kGenerate},
    {"POST", "/v1/batch/messages", kGenerate},
    {"POST", "/v1/messages/count_tokens", kGenerate},
    {"POST", "/v1/tokenize", kGenerate},
    {"POST", "/v1/detokenize", kGenerate},
    {"POST", "/v1/responses", kGenerate},
    {"POST", "/v1/batch/responses", kGenerate},
    // One's own.
    {"GET", "/v1/responses/{id}", kGenerate},
    {"DELETE", "/v1/responses/{id}", kGenerate},
    {"GET", "/v1/responses/{id}/input_items", kGenerate},
    {"POST", "/v1/responses/{id}/cancel", kGenerate},

    {"POST", "/api/chat", kGenerate},
    {"POST", "/api/generate", kGenerate},
    {"GET", "/api/version", kLook},
    {"GET", "/api/tags", kLook},
    {"GET", "/api/ps", kLook},
    {"POST", "/api/show", kLook},
    {"POST", "/api/pull", kAdmin},
    {"DELETE", "/api/delete", kAdmin},
    {"POST", "/api/copy", kMember},
    // These say that there is no such thing here.
    {"POST", "/api/embed", kLook},
    {"POST", "/api/embeddings", kLook},
    {"POST", "/api/create", kLook},
    {"POST", "/api/push", kLook},
    {"HEAD", "/api/blobs/{digest}", kLook},
    {"POST", "/api/blobs/{digest}", kLook},

    // These judge for themselves: a stranger may register and log in.
    {"POST", "/api/v1/auth/register", kAnyone},
    {"POST", "/api/v1/auth/login", kAnyone},
    {"GET", "/api/v1/auth/state", kAnyone},
    {"GET", "/api/v1/auth/me", kAccount},
    {"POST", "/api/v1/auth/logout", kAccount},
    {"POST", "/api/v1/auth/password", kAccount},
    {"GET", "/api/v1/auth/sessions", kAccount},
    {"DELETE", "/api/v1/auth/sessions/{id}", kAccount},

    {"GET", "/api/v1/users", kAdmin},
    {"POST", "/api/v1/users", kAdmin},
    {"PATCH", "/api/v1/users/{id}", kAdmin},
    {"DELETE", "/api/v1/users/{id}", kAdmin},
    {"POST", "/api/v1/users/{id}/password", kAdmin},

    // One's own; administrators see all.
    {"GET", "/api/v1/keys", kMember},
    {"POST", "/api/v1/keys", kMember},
    {"DELETE", "/api/v1/keys/{id}", kMember},
    {"GET", "/api/v1/keys/{id}/usage", kMember},

    {"GET", "/api/v1/profiles", kLook},
    {"POST", "/api/v1/profiles", kMember},
    {"GET", "/api/v1/profiles/{id}", kLook},
    {"PATCH", "/api/v1/profiles/{id}", kMember},
    {"DELETE", "/api/v1/profiles/{id}", kMember},
    {"POST", "/api/v1/profiles/{id}/duplicate", kMember},
    {"GET", "/api/v1/profiles/{id}/toml", kLook},
    {"POST", "/api/v1/profiles/import", kMember},
    {"GET", "/api/v1/aliases", kLook},
    {"PUT", "/api/v1/aliases/{name}", kMember},
    {"DELETE", "/api/v1/aliases/{name}", kMember},

    {"GET", "/api/v1/settings", kAdmin},
    {"PATCH", "/api/v1/settings", kAdmin},
    {"POST", "/api/v1/settings/rotate-key", kAdmin},
    {"GET", "/api/v1/system", kLook},

    {"GET", "/api/v1/chats", kAccount},
    {"POST", "/api/v1/chats", kAccount},
    {"GET", "/api/v1/chats/{id}", kAccount},
    {"PATCH", "/api/v1/chats/{id}", kAccount},
    {"DELETE", "/api/v1/chats/{id}", kAccount},
    {"POST", "/api/v1/chats/{id}/messages", kAccount},
    {"DELETE", "/api/v1/chats/{id}/messages/{message}", kAccount},
    {"GET", "/api/v1/chat-folders", kAccount},
    {"POST", "/api/v1/chat-folders", kAccount},
    {"PATCH", "/api/v1/chat-folders/{id}", kAccount},
    {"DELETE", "/api/v1/chat-folders/{id}", kAccount},

    {"GET", "/api/v1/servers", kLook},
    {"PATCH", "/api/v1/servers", kAdmin},
    {"POST", "/api/v1/servers", kMember},
    {"GET", "/api/v1/servers/{model...}", kLook},
    {"POST", "/api/v1/servers/{model...}", kAdmin},
    {"DELETE", "/api/v1/servers/{model...}", kAdmin},

    {"GET", "/api/v1/models", kLook},
    {"GET", "/api/v1/models/{id...}", kLook},
    {"DELETE", "/api/v1/models/{id...}", kAdmin},
    {"POST", "/api/v1/models/scan", kMember},
    {"GET", "/api/v1/hub/models", kMember},
    {"GET", "/api/v1/hub/models/{id...}", kMember},
    {"GET", "/api/v1/hub/variants", kMember},
    {"GET", "/api/v1/hub/recommended", kLook},
    {"POST", "/api/v1/hub/token-test", kAdmin},
    {"GET", "/api/v1/downloads", kLook},
    {"POST", "/api/v1/downloads", kAdmin},
    {"GET", "/api/v1/downloads/{id}", kLook},
    {"DELETE", "/api/v1/downloads/{id}", kAdmin},
    {"POST", "/api/v1/downloads/{id}/pause", kAdmin},
    {"POST", "/api/v1/downloads/{id}/resume", kAdmin},
    {"POST", "/api/v1/downloads/{id}/cancel", kAdmin},
    {"GET", "/api/v1/events", kLook},

    // One's own; administrators see all. Kinds that change what all have, and paths, are theirs.
    {"GET", "/api/v1/jobs", kLook},
    {"POST", "/api/v1/jobs", kMember},
    {"GET", "/api/v1/jobs/kinds", kLook},
    {"GET", "/api/v1/jobs/{id}", kLook},
    {"DELETE", "/api/v1/jobs/{id}", kMember},
    {"GET", "/api/v1/jobs/{id}/log", kLook},
    {"POST", "/api/v1/jobs/{id}/cancel", kMember},
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
