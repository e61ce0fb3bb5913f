// All routes of the API: who may use each, and what it takes and gives, one row a route. A route without a
// row is refused to everybody, and a test finds it. The document of the API (server/api_document.h) is made
// of it.
#pragma once

#include <span>
#include <string_view>

#include "api/document/open_api.h"

namespace mlxd {

/// What a route asks of its caller.
enum class AccessNeed {
  kAnyone,
  kGenerate,  // an API key whose scope has the path, a session that is no viewer's, or an open server's local
              // programs
  kLook,      // as kGenerate, or any session
  kAccount,   // somebody with an account: a session, or a key with the admin scope
  kMember,    // an account that is no viewer's, or the owner
  kAdmin,     // an administrator, the owner, or the setup token while there is no account
};
std::string_view to_string(AccessNeed need);

struct AccessRule {
  std::string_view method;
  std::string_view pattern;  // as the router has it
  AccessNeed need = AccessNeed::kAdmin;
  std::string_view about = {};  // what it does, as a sentence
  api::RouteForm form = {};
};

std::span<const AccessRule> access_table();
/// nullptr: no row.
const AccessRule* find_access_rule(std::string_view method, std::string_view pattern);

}  // namespace mlxd
