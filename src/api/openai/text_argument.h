// The text of a call {"input": "…"} while its JSON is still coming: what a tool that takes text is given.
// Values; one owner.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mlxd::api::openai {

/// The argument's name.
inline constexpr std::string_view kTextArgument = "input";

class TextArgument {
 public:
  /// Takes more of the arguments' JSON; returns what it adds to the text.
  std::string push(std::string_view json);
  /// No more comes. Arguments of another form are the text as they stand: returns what is left of it.
  std::string finish();

  const std::string& text() const { return text_; }

 private:
  enum class Place : std::uint8_t { kBefore, kInside, kAfter };

  void take(char c, std::string& out);
  void append_unit(std::string& out);

  Place place_ = Place::kBefore;
  std::string before_;  // all that came before the text
  std::string text_;
  std::string escape_;           // an unfinished one: a backslash and what followed
  std::uint32_t high_unit_ = 0;  // a surrogate whose other half is to follow
};

}  // namespace mlxd::api::openai
