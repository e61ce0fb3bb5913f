// Writes JSON by appending to a string: what answers need, many times a second.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>

namespace mlxd::api {

/// A quoted JSON string. Bytes that are no UTF-8 become U+FFFD, so the result is always valid JSON.
void append_json_string(std::string& out, std::string_view text);
/// The shortest decimal that reads back as the same float; infinities and NaN, which JSON lacks, as ±9999 and
/// 0.
void append_json_number(std::string& out, float value);
void append_json_number(std::string& out, std::int64_t value);

/// ,"key":value of an object that has members already. `key` is written as it is.
void append_member(std::string& out, std::string_view key, std::string_view text);
void append_member(std::string& out, std::string_view key, std::int64_t number);

/// Numbers as short as they go, keys in their order.
void append_json_value(std::string& out, const boost::json::value& value);

bool is_valid_utf8(std::string_view text);
/// Number of code points of valid UTF-8.
std::int64_t count_characters(std::string_view text);

}  // namespace mlxd::api
