// Profiles and aliases between JSON, TOML and the store's types. Pure functions.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/field_shape.h"
#include "base/result.h"
#include "store/profile_store.h"

namespace mlxd::api::manage {

boost::json::object encode_profile(const Profile& profile);

/// What a body says of a profile; what it leaves out is empty.
struct ProfileFields {
  std::optional<std::string> name = {};
  std::optional<std::string> description = {};
  std::optional<std::string> model = {};
  std::optional<std::string> defaults = {};  // JSON text, checked
  std::optional<bool> auto_load = {};
};
/// Errors name the field.
Result<ProfileFields> decode_profile(std::string_view body);
Result<ProfileFields> decode_profile(const boost::json::object& object);
/// `fields` over `profile`.
void apply(const ProfileFields& fields, Profile& profile);

/// A profile as a file that people keep and share, and back. Errors of decoding: kInvalidArgument with the
/// line.
std::string profile_to_toml(const Profile& profile);
Result<ProfileFields> profile_from_toml(std::string_view text);

std::vector<FieldInfo> profile_infos(), profile_file_infos(), alias_infos();

/// {"toml": …}
Result<std::string> decode_profile_file(std::string_view body);

/// {"model": …} of an alias.
Result<std::string> decode_alias_model(std::string_view body);

}  // namespace mlxd::api::manage
