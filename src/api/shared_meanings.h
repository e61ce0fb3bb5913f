// What the fields mean that several APIs share.
#pragma once

#include <limits>

#include "api/field_shape.h"

namespace mlxd::api::meaning {

inline constexpr Meaning kModel{"Name of the model, a profile or an alias; MODEL+ADAPTER takes an adapter.",
                                text()};
inline constexpr Meaning kAdapter{"An adapter (LoRA) of the model.", text()};
inline constexpr Meaning kTools{"Functions that the model may call.", typed("Tool[]")};
inline constexpr Meaning kTemperature{"How far the choice of tokens spreads; 0 takes the likeliest one.",
                                      number(0.0, 2.0).by_default("1")};
inline constexpr Meaning kTopP{"Only the likeliest tokens whose probabilities add up to this.",
                               number(0.0, 1.0).by_default("1")};
inline constexpr Meaning kTopK{"Only so many of the likeliest tokens; 0 or -1: all.",
                               count_from(-1).by_default("0")};
inline constexpr Meaning kMinP{"Only tokens at least this share as likely as the likeliest.",
                               number(0.0, 1.0).by_default("0")};
inline constexpr Meaning kSeed{"The same seed and request give the same text; absent: another each time.",
                               typed("integer")};
inline constexpr Meaning kStop{"Texts that end the answer; they are not part of it.",
                               typed("string|string[]")};
inline constexpr Meaning kMaxTokens{
    "The most tokens of the answer; absent: until it ends or the context is full.", count_from(1)};
inline constexpr Meaning kPresencePenalty{"Taken from the logit of each token that the answer has had.",
                                          number(-2.0, 2.0).by_default("0")};
inline constexpr Meaning kFrequencyPenalty{
    "Taken from a token's logit for each time that the answer has had it.",
    number(-2.0, 2.0).by_default("0")};
inline constexpr Meaning kRepetitionPenalty{
    "Divides the positive logits of tokens that prompt or answer have had, and multiplies negative ones.",
    number_above(0.0, 2.0).by_default("1")};
inline constexpr Meaning kLogitBias{"Token ids, each with what is added to its logit (-100 to 100).",
                                    typed("object")};
inline constexpr Meaning kLogprobs{"Whether each token comes with its log-probability.",
                                   boolean().by_default("false")};
inline constexpr Meaning kTopLogprobs{
    "How many of the likeliest tokens stand beside each; needs logprobs: true.",
    integer(0, 20).by_default("0")};
inline constexpr Meaning kStream{"Send the answer piece by piece, as server-sent events.",
                                 boolean().by_default("false")};
inline constexpr Meaning kCacheSalt{"Cached prefixes are shared only with requests of the same salt.",
                                    text()};
inline constexpr Meaning kKeepAlive{
    "How long the model stays loaded after this request: seconds or a text like \"5m\"; 0: not at all, "
    "negative: "
    "for good.",
    typed("number|string")};
inline constexpr Meaning kTemplateVariables{
    "Variables of the model's chat template, such as enable_thinking.", object_of()};
inline constexpr Meaning kThinkingBudget{"The most tokens of reasoning.", count_from(0)};
inline constexpr Meaning kParallelToolCalls{"Whether the answer may have several calls.",
                                            boolean().by_default("true")};
inline constexpr Meaning kMaxToolCalls{"The most calls of one answer, which ends with the last of them.",
                                       integer(1, 128)};
inline constexpr Meaning kInformsOnly{"Accepted and let be: it changes nothing here."};
inline constexpr Meaning kToRefuse{"leave it out"};

}  // namespace mlxd::api::meaning
