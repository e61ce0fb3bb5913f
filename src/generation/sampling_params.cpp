#include "generation/sampling_params.h"

#include <cmath>
#include <string>

namespace mlxd {
namespace {

// Shortest form that reads well in a message: 0.5, 2, nan.
std::string number(double value) {
  std::string text = std::to_string(value);
  if (text.find('.') != std::string::npos) {
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
  }
  return text;
}

Error out_of_range(const char* field, double value, const char* range) {
  return invalid_argument(std::string(field) + " is " + number(value) + ", must be " + range, field);
}

}  // namespace

Result<void> SamplingParams::validate(std::int32_t vocab_size) const {
  // Written as !(inside) so that NaN is refused.
  if (!(temperature >= 0.0F && temperature <= 2.0F))
    return out_of_range("temperature", temperature, "between 0 and 2");
  if (!(top_p >= 0.0F && top_p <= 1.0F)) return out_of_range("top_p", top_p, "between 0 and 1");
  if (top_k < 0) return out_of_range("top_k", top_k, "0 (off) or positive");
  if (!(min_p >= 0.0F && min_p <= 1.0F)) return out_of_range("min_p", min_p, "between 0 and 1");
  if (!(repetition_penalty > 0.0F && repetition_penalty <= 2.0F))
    return out_of_range("repetition_penalty", repetition_penalty, "above 0 and at most 2");
  if (!(presence_penalty >= -2.0F && presence_penalty <= 2.0F))
    return out_of_range("presence_penalty", presence_penalty, "between -2 and 2");
  if (!(frequency_penalty >= -2.0F && frequency_penalty <= 2.0F))
    return out_of_range("frequency_penalty", frequency_penalty, "between -2 and 2");
  if (top_logprobs < 0 || top_logprobs > 20)
    return out_of_range("top_logprobs", top_logprobs, "between 0 and 20");
  for (const LogitBias& entry : logit_bias) {
    if (entry.token < 0 || entry.token >= vocab_size)
      return invalid_argument("logit_bias names token " + std::to_string(entry.token) +
                                  ", the vocabulary has ids 0 to " + std::to_string(vocab_size - 1),
                              "logit_bias");
    if (!(entry.bias >= -100.0F && entry.bias <= 100.0F))
      return out_of_range("logit_bias", entry.bias, "between -100 and 100");
  }
  return {};
}

}  // namespace mlxd
