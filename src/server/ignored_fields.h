// How an answer tells what of its request was let be. Values and functions.
#pragma once

#include <string>
#include <vector>

#include "api/generation_call.h"
#include "http/message.h"

namespace mlxd {

/// The fields with commas between, as many as a header may hold.
std::string as_header(const std::vector<std::string>& fields);

/// What a call has that is understood and let be, and what no table knows, as headers of its answer.
class IgnoredFields {
 public:
  IgnoredFields() = default;
  explicit IgnoredFields(const api::GenerationCall& call);
  void add_to(http::Response& response) const;

 private:
  std::string ignored_;
  std::string unknown_;
};

}  // namespace mlxd
