#include "server/access_gate.h"

#include <algorithm>
#include <utility>

#include "api/error_status.h"
#include "security/token.h"

namespace mlxd {
namespace {

using Kind = Caller::Kind;

std::string_view bearer_of(const http::Request& request) {
  if (const std::string* value = request.headers.find("authorization")) {
    constexpr std::string_view kScheme = "Bearer ";
    std::string_view text = *value;
    if (text.size() > kScheme.size() && http::equals_ignoring_case(text.substr(0, kScheme.size()), kScheme))
      return text.substr(kScheme.size());
  }
  if (const std::string* value = request.headers.find("x-api-key")) return *value;
  return {};
}

// The value of one cookie (RFC 6265, section 4.2).
std::string_view cookie_of(const http::Request& request, std::string_view name) {
  const std::string* header = request.headers.find("cookie");
  std::string_view rest = header == nullptr ? std::string_view() : std::string_view(*header);
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(';'), rest.size());
    std::string_view pair = rest.substr(0, end);
    while (pair.starts_with(' ')) pair.remove_prefix(1);
    if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=')
      return pair.substr(name.size() + 1);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return {};
}

bool is_safe(std::string_view method) { return method == "GET" || method == "HEAD" || method == "OPTIONS"; }

// A page's request that changes something must show that the page can read our answers, which no other site's
// can.
Result<void> check_page(const http::Request& request, const Caller& caller, AccessNeed need) {
  if (is_safe(request.method)) return {};
  const std::string* site = request.headers.find("sec-fetch-site");
  // With an Origin the server has judged that already.
  if (site != nullptr && *site == "cross-site" && request.headers.find("origin") == nullptr)
    return Error(ErrorKind::kForbidden, "requests from other sites' pages are refused");
  // What anyone may do needs no cookie, so a page that sends one gains nothing by it.
  if (!caller.by_cookie || need == AccessNeed::kAnyone) return {};
  const std::string* token = request.headers.find("x-csrf-token");
  if (token == nullptr || !same_secret(*token, caller.csrf_token))
    return Error(
        ErrorKind::kForbidden,
        "a request with the session's cookie needs X-CSRF-Token, which login and /api/v1/auth/me give");
  return {};
}

bool lies_below(std::string_view path, std::string_view base) {
  while (base.ends_with('/')) base.remove_suffix(1);
  return path == base || (path.starts_with(base) && path.size() > base.size() && path[base.size()] == '/');
}

Error wants_credentials() {
  return {ErrorKind::kUnauthorized,
          "this needs an API key (Authorization: Bearer KEY) or a login: make a key with 'mlxd key create'"};
}

Error forbidden(std::string why) { return {ErrorKind::kForbidden, std::move(why)}; }

}  // namespace

const Caller& caller_of(const http::Exchange& exchange) {
  static const Caller nobody;
  return exchange.attachment == nullptr ? nobody : *static_cast<const Caller*>(exchange.attachment.get());
}

bool key_allows_model(const ApiKey& key, std::string_view asked, std::string_view found) {
  if (key.models.empty()) return true;
  return std::any_of(key.models.begin(), key.models.end(), [&](std::string_view allowed) {
    for (const std::string_view name : {asked, found}) {
      if (allowed.ends_with('*') ? name.starts_with(allowed.substr(0, allowed.size() - 1)) : name == allowed)
        return true;
      // An adapter is asked for with its model.
      if (name.starts_with(allowed) && name.size() > allowed.size() && name[allowed.size()] == '+')
        return true;
    }
    return false;
  });
}

Result<void> check_access(const Caller& caller, AccessNeed need, std::string_view path) {
  if (need == AccessNeed::kAnyone) return {};
  const bool is_key = caller.kind == Kind::kKey;
  const bool limited_key = is_key && !caller.key->admin;
  switch (caller.kind) {
    case Kind::kNobody:
      return wants_credentials();
    case Kind::kLocal:
      if (need == AccessNeed::kGenerate || need == AccessNeed::kLook) return {};
      return Error(
          ErrorKind::kUnauthorized,
          "there is no account yet: make the first one with the link that 'mlxd serve' printed, or with "
          "'mlxd user add'");
    case Kind::kOwner:
    case Kind::kSetup:
      if (need != AccessNeed::kAccount) return {};
      return forbidden("this belongs to an account: log in");
    case Kind::kSession:
    case Kind::kKey:
      break;
  }
  const bool member = !caller.has_role(UserRole::kViewer);
  if (need == AccessNeed::kGenerate || need == AccessNeed::kLook) {
    if (is_key && !caller.key->endpoints.empty() && need == AccessNeed::kGenerate &&
        std::none_of(caller.key->endpoints.begin(), caller.key->endpoints.end(),
                     [&](const std::string& base) { return lies_below(path, base); }))
      return forbidden("the key '" + caller.key->name + "' may not use " + std::string(path) +
                       ": its scope has other endpoints");
    if (need == AccessNeed::kGenerate && !member)
      return forbidden("a viewer may look, not generate: ask an administrator");
    // Management is more than looking at models.
    if (limited_key && path.starts_with("/api/v1/"))
      return forbidden("the key '" + caller.key->name + "' has no admin scope");
    return {};
  }
  if (limited_key) return forbidden("the key '" + caller.key->name + "' has no admin scope");
  if (need == AccessNeed::kAccount) return {};
  if (need == AccessNeed::kMember) {
    if (member) return {};
    return forbidden("a viewer may look, not change: ask an administrator");
  }
  if (caller.administers()) return {};
  return forbidden("only an administrator may do this");
}

http::Handler AccessGate::guard(const http::Route& route) const {
  const AccessRule* rule = find_access_rule(route.method, route.pattern);
  return [this, rule, handler = route.handler](const http::ExchangePtr& exchange) {
    pass(exchange, rule, handler);
  };
}

void AccessGate::pass(const http::ExchangePtr& exchange, const AccessRule* rule,
                      const http::Handler& handler) const {
  const http::Request& request = exchange->request;
  const auto refuse = [&](const Error& error) { exchange->respond_error(api::status_of(error.kind), error); };
  if (rule == nullptr) {
    refuse(forbidden("this route is not in the access table"));
    return;
  }
  auto identified = accounts_.identify(bearer_of(request), cookie_of(request, kSessionCookie));
  if (!identified.ok()) {
    // Whoever may be anyone may also be someone with an old key.
    if (rule->need != AccessNeed::kAnyone) {
      refuse(identified.error());
      return;
    }
    identified = Caller{};
  }
  auto caller = std::make_shared<Caller>(identified.take_value());
  for (const auto& checked :
       {check_page(request, *caller, rule->need), check_access(*caller, rule->need, request.path)}) {
    if (checked.ok()) continue;
    refuse(checked.error());
    return;
  }
  if (caller->kind == Kind::kKey && rule->need == AccessNeed::kGenerate) {
    KeyMeter::Refusal refusal;
    caller->use = meter_.admit(*caller->key, refusal);
    if (caller->use == nullptr) {
      exchange->respond_error(429, refusal.error, refusal.retry_after_s);
      return;
    }
  }
  exchange->attachment = std::move(caller);
  handler(exchange);
}

}  // namespace mlxd
