// What a model takes of the memory that models share.
#pragma once

#include <cstddef>

namespace mlxd {

struct MemoryNeeds {
  std::size_t fixed_bytes = 0;  // weights, scratch, tokenizer, adapters
  std::size_t least_bytes = 0;  // these and K/V of one conversation as long as the context
  std::size_t usual_bytes = 0;  // what it begins with where there is room
  std::size_t most_bytes = 0;   // beyond which it gains nothing
};

}  // namespace mlxd
