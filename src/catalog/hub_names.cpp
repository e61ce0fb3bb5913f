#include "catalog/hub_names.h"

#include <algorithm>
#include <cstdint>

namespace mlxd {
namespace {

constexpr std::size_t kMaxIdBytes = 96;
constexpr std::size_t kMaxRevisionBytes = 255;
constexpr std::size_t kMaxPathBytes = 1024;
constexpr std::string_view kFolderPrefix = "models--";

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == '\x7f'; }

bool has_safe_parts(std::string_view path) {
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

// Whether `c` is in the set that begins after "[" at `pattern[i]`; moves `i` behind "]". False and `i` at the
// end if there is no "]".
bool in_set(std::string_view pattern, std::size_t& i, char c, bool& closed) {
  const bool negated = i < pattern.size() && pattern[i] == '!';
  if (negated) ++i;
  bool found = false;
  closed = false;
  for (bool first = true; i < pattern.size(); first = false) {
    if (pattern[i] == ']' && !first) {
      ++i;
      closed = true;
      break;
    }
    char high = pattern[i];
    const char low = high;
    if (i + 2 < pattern.size() && pattern[i + 1] == '-' && pattern[i + 2] != ']') {
      high = pattern[i + 2];
      i += 2;
    }
    ++i;
    if (c >= low && c <= high) found = true;
  }
  return found != negated;
}

// One character of `text` against what begins at `pattern[p]`; `next` is where the pattern goes on.
bool matches_one(char c, std::string_view pattern, std::size_t p, std::size_t& next) {
  next = p + 1;
  if (pattern[p] == '?') return true;
  if (pattern[p] != '[') return pattern[p] == c;
  bool closed = false;
  std::size_t i = p + 1;
  const bool found = in_set(pattern, i, c, closed);
  if (!closed) return c == '[';
  next = i;
  return found;
}

}  // namespace

Result<void> check_repository_id(std::string_view id) {
  const auto refuse = [&](std::string_view why) {
    return invalid_argument("'" + std::string(id.substr(0, 200)) + "' is no repository of the hub: " +
                                std::string(why) + "; write it as ORG/NAME",
                            "repository");
  };
  if (id.empty()) return refuse("it is empty");
  if (id.size() > kMaxIdBytes) return refuse("it is longer than 96 characters");
  if (std::count(id.begin(), id.end(), '/') > 1) return refuse("it has more than one '/'");
  const bool plain = std::all_of(id.begin(), id.end(),
                                 [](char c) { return is_word(c) || c == '.' || c == '-' || c == '/'; });
  if (!plain) return refuse("only letters, digits, '-', '_' and '.' may be in it");
  if (id.find("--") != std::string_view::npos || id.find("..") != std::string_view::npos)
    return refuse("'--' and '..' may not be in it");
  for (const std::string_view part : {id.substr(0, id.find('/')), id.substr(id.rfind('/') + 1)}) {
    if (part.empty() || part.front() == '.' || part.front() == '-' || part.back() == '.' ||
        part.back() == '-')
      return refuse("its parts may neither be empty nor begin or end with '-' or '.'");
  }
  if (id.ends_with(".git")) return refuse("it may not end in .git");
  return {};
}

Result<void> check_revision(std::string_view revision) {
  const bool safe =
      revision.size() <= kMaxRevisionBytes && !revision.starts_with('-') && is_safe_file_path(revision);
  if (safe) return {};
  return invalid_argument(
      "'" + std::string(revision.substr(0, 200)) + "' is no revision: write a branch, a tag or a commit",
      "revision");
}

bool is_hash(std::string_view text, std::size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool is_commit(std::string_view text) { return is_hash(text, 40); }

bool is_safe_file_path(std::string_view path) {
  if (path.empty() || path.size() > kMaxPathBytes) return false;
  if (std::any_of(path.begin(), path.end(), [](char c) { return is_control(c) || c == '\\'; })) return false;
  return has_safe_parts(path);
}

std::string repository_folder_name(std::string_view id) {
  std::string name(kFolderPrefix);
  for (const char c : id) {
    if (c == '/')
      name += "--";
    else
      name += c;
  }
  return name;
}

std::string repository_of_folder(std::string_view folder_name) {
  if (!folder_name.starts_with(kFolderPrefix)) return {};
  std::string id(folder_name.substr(kFolderPrefix.size()));
  if (const std::size_t separator = id.find("--"); separator != std::string::npos)
    id.replace(separator, 2, "/");
  return id;
}

std::string url_encoded(std::string_view text, bool keep_slashes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (is_word(c) || c == '-' || c == '.' || c == '~' || (keep_slashes && c == '/')) {
      out += c;
      continue;
    }
    const auto byte = static_cast<std::uint8_t>(c);
    out += '%';
    out += kDigits[byte >> 4U];
    out += kDigits[byte & 15U];
  }
  return out;
}

std::string url_decoded(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// One star at a time is enough: a later one can take over whatever an earlier one could match.
bool matches_pattern(std::string_view text, std::string_view pattern) {
  std::size_t t = 0;
  std::size_t p = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (t < text.size()) {
    std::size_t next = 0;
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && matches_one(text[t], pattern, p, next)) {
      p = next;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace mlxd
