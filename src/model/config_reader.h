// Typed, bounded reading of a model's JSON configuration. Every error names file, field, value and what is
// allowed: "…/config.json: rope_theta: -1, must be a number between 0.001 and 1e+12". null counts as absent.
// Keeps references: the object and the file name must outlive the reader.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mlxd {

class ConfigReader {
 public:
  /// `prefix` is put before field names: "rope_scaling." for a nested object.
  ConfigReader(const boost::json::object& object, std::string_view file, std::string prefix = {})
      : object_(&object), file_(file), prefix_(std::move(prefix)) {}

  /// The member unless absent or null.
  const boost::json::value* find(std::string_view field) const;
  bool has(std::string_view field) const { return find(field) != nullptr; }

  /// Both limits are allowed values. A whole number written as 1e6 or 4096.0 is taken.
  Result<std::int64_t> integer(std::string_view field, std::int64_t min, std::int64_t max) const;
  Result<std::int64_t> integer_or(std::string_view field, std::int64_t fallback, std::int64_t min,
                                  std::int64_t max) const;
  Result<double> number(std::string_view field, double min, double max) const;
  Result<double> number_or(std::string_view field, double fallback, double min, double max) const;
  Result<bool> boolean_or(std::string_view field, bool fallback) const;
  Result<std::string> string(std::string_view field) const;
  Result<std::string> string_or(std::string_view field, std::string_view fallback) const;
  /// Absent if the member is absent or null; an error if it is no object.
  Result<std::optional<ConfigReader>> object(std::string_view field) const;

  const boost::json::object& values() const { return *object_; }
  const std::string& file() const { return file_; }
  /// "file: field: value, must be REQUIREMENT", kCorruptData.
  Error refuse(std::string_view field, std::string_view requirement) const;
  /// The same as kUnsupported: "file: field: value is not supported; HINT".
  Error refuse_unsupported(std::string_view field, std::string_view hint) const;

 private:
  std::string shown(std::string_view field) const;

  const boost::json::object* object_;
  std::string file_;
  std::string prefix_;
};

}  // namespace mlxd
