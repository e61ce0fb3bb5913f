// What a request for a response says beyond what is generated: what its answer repeats, and what is kept of
// it. Values.
#pragma once

#include <algorithm>
#include <boost/json/array.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "api/generation_call.h"
#include "store/response_store.h"

namespace mlxd::api::openai {

struct ResponseDetails : CallDetails {
  /// Members of the answer that repeat the request, with commas between: "background":false,…
  std::string echo_json;
  std::string instructions;
  /// The request's own items, each with its type; ids are given with the answer's.
  boost::json::array input;
  std::string previous_id;  // empty: none
  bool strict = false;
  bool store = true;
  bool logprobs = false;
  /// The answer's reasoning is given as its summary.
  bool summary = false;
  /// … and once more in a form that clients send back as it is.
  bool encrypted_reasoning = false;
  /// Tools that take text, not JSON.
  std::vector<std::string> text_tools;
  /// Whose it is; the server says so.
  ResponseOwner owner;

  bool takes_text(std::string_view tool) const {
    return std::find(text_tools.begin(), text_tools.end(), tool) != text_tools.end();
  }
};

/// How reasoning is written that clients send back without reading it.
inline constexpr std::string_view kReasoningMark = "mlxd:";

}  // namespace mlxd::api::openai
