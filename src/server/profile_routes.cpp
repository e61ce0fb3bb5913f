#include "server/profile_routes.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <utility>

#include "api/field_reader.h"
#include "api/manage/profile_codec.h"

namespace mlxd {
namespace {

namespace json = boost::json;
namespace manage = api::manage;

// Profiles are everybody's to use, their maker's and administrators' to change.
Result<Profile> changeable(const ModelNames& names, const http::Request& request, const Caller& caller) {
  Profile profile = TRY(names.profile(request.parameter("id")));
  if (caller.administers() || (!profile.created_by.empty() && profile.created_by == caller.user_id()))
    return profile;
  return Error(ErrorKind::kForbidden,
               "the profile '" + profile.name + "' is another account's: duplicate it to change the copy");
}

Result<ManageAnswer> create(ModelNames& names, const manage::ProfileFields& fields, const Caller& caller) {
  if (!fields.name) return api::missing_field("name");
  if (!fields.model) return api::missing_field("model");
  Profile profile;
  manage::apply(fields, profile);
  profile.created_by = caller.user_id();
  const Profile made = TRY(names.create(std::move(profile)));
  return ManageAnswer{.status = 201, .body = manage::encode_profile(made)};
}

Result<ManageAnswer> import_toml(ModelNames& names, const http::Request& request, const Caller& caller) {
  return create(names, TRY(manage::profile_from_toml(TRY(manage::decode_profile_file(request.body)))),
                caller);
}

std::string free_name(const ModelNames& names, const std::string& wanted) {
  for (int i = 2;; ++i) {
    std::string name = wanted + " " + std::to_string(i);
    if (!names.profile(name).ok()) return name;
  }
}

Result<ManageAnswer> duplicate(ModelNames& names, const http::Request& request, const Caller& caller) {
  Profile copy = TRY(names.profile(request.parameter("id")));
  manage::ProfileFields fields;
  if (!request.body.empty()) fields = TRY(manage::decode_profile(request.body));
  copy.name = free_name(names, copy.name);
  manage::apply(fields, copy);
  copy.created_by = caller.user_id();
  const Profile made = TRY(names.create(std::move(copy)));
  return ManageAnswer{.status = 201, .body = manage::encode_profile(made)};
}

}  // namespace

void add_profile_routes(ManageRoutes& routes, ModelNames& names) {
  routes.add("GET", "/api/v1/profiles",
             [&names](const http::Request&, const Caller&) -> Result<ManageAnswer> {
               json::array profiles;
               for (const Profile& profile : names.profiles())
                 profiles.push_back(manage::encode_profile(profile));
               return ManageAnswer{.body = json::object{{"profiles", std::move(profiles)}}};
             });
  routes.add("POST", "/api/v1/profiles",
             [&names](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
               return create(names, TRY(manage::decode_profile(request.body)), caller);
             });
  routes.add("POST", "/api/v1/profiles/import", [&names](const http::Request& request, const Caller& caller) {
    return import_toml(names, request, caller);
  });
  routes.add(
      "GET", "/api/v1/profiles/{id}",
      [&names](const http::Request& request, const Caller&) -> Result<ManageAnswer> {
        return ManageAnswer{.body = manage::encode_profile(TRY(names.profile(request.parameter("id"))))};
      });
  routes.add("GET", "/api/v1/profiles/{id}/toml",
             [&names](const http::Request& request, const Caller&) -> Result<ManageAnswer> {
               const Profile profile = TRY(names.profile(request.parameter("id")));
               return ManageAnswer{.content_type = "application/toml",
                                   .text = manage::profile_to_toml(profile)};
             });
  routes.add("PATCH", "/api/v1/profiles/{id}",
             [&names](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
               Profile profile = TRY(changeable(names, request, caller));
               manage::apply(TRY(manage::decode_profile(request.body)), profile);
               return ManageAnswer{.body = manage::encode_profile(TRY(names.replace(std::move(profile))))};
             });
  routes.add("DELETE", "/api/v1/profiles/{id}",
             [&names](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
               const Profile profile = TRY(changeable(names, request, caller));
               TRY(names.remove(profile.id));
               return ManageAnswer{.status = 204};
             });
  routes.add("POST", "/api/v1/profiles/{id}/duplicate",
             [&names](const http::Request& request, const Caller& caller) {
               return duplicate(names, request, caller);
             });
  routes.add("GET", "/api/v1/aliases", [&names](const http::Request&, const Caller&) -> Result<ManageAnswer> {
    json::array aliases;
    for (const Alias& alias : names.aliases())
      aliases.push_back(
          json::object{{"name", json::string(alias.name)}, {"model", json::string(alias.model)}});
    return ManageAnswer{.body = json::object{{"aliases", std::move(aliases)}}};
  });
  routes.add("PUT", "/api/v1/aliases/{name}",
             [&names](const http::Request& request, const Caller&) -> Result<ManageAnswer> {
               const Alias alias{std::string(request.parameter("name")),
                                 TRY(manage::decode_alias_model(request.body))};
               TRY(names.set_alias(alias));
               return ManageAnswer{.body = json::object{{"name", json::string(alias.name)},
                                                        {"model", json::string(alias.model)}}};
             });
  routes.add("DELETE", "/api/v1/aliases/{name}",
             [&names](const http::Request& request, const Caller&) -> Result<ManageAnswer> {
               TRY(names.remove_alias(request.parameter("name")));
               return ManageAnswer{.status = 204};
             });
}

}  // namespace mlxd
