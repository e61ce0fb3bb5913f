// A request with what a profile says where it says nothing itself. A pure function.
#pragma once

#include <string>
#include <string_view>

namespace mlxd::api::ollama {

enum class ProfileUse { kChat, kGenerate };

/// `defaults_json` as openai::check_profile_defaults takes it; it says what names its fields have there. A
/// body that is no JSON object comes back as it is: its decoder says what is wrong.
std::string with_profile_defaults(std::string_view body, const std::string& defaults_json, ProfileUse use);

}  // namespace mlxd::api::ollama
