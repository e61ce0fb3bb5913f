#include "text/fill_in_middle.h"

#include <span>

namespace mlxd {
namespace {

// How a family writes it: the tokens before the two texts and before the middle, and those that end it.
struct Scheme {
  std::string_view prefix;
  std::string_view suffix;
  std::string_view middle;           // empty: the text that comes second is followed by the answer
  bool suffix_first = false;         // the suffix comes before the prefix
  std::string_view end_tokens[4]{};  // as far as the tokenizer has them
};

constexpr Scheme kSchemes[] = {
    // Qwen 2.5 Coder and later (its technical report, section 3.2.3), CodeGemma, Granite Code's newer ones.
    {"<|fim_prefix|>",
     "<|fim_suffix|>",
     "<|fim_middle|>",
     false,
     {"<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|file_separator|>"}},
    // StarCoder (1 and 2), Granite Code, Refact.
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>", false, {"<fim_pad>", "<file_sep>", "<|endoftext|>"}},
    // SantaCoder, Stable Code.
    {"<fim-prefix>", "<fim-suffix>", "<fim-middle>", false, {"<fim-pad>", "<|endoftext|>"}},
    // DeepSeek Coder: the hole stands where the middle belongs, the answer follows the end.
    {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", false, {"<|EOT|>"}},
    // CodeLlama (its paper, section 2.3: prefix, suffix, middle).
    {"▁<PRE>", "▁<SUF>", "▁<MID>", false, {"▁<EOT>"}},
    // Codestral: the suffix first, then the prefix, which the answer goes on with.
    {"[PREFIX]", "[SUFFIX]", "", true, {}},
    // GLM 4 and CodeGeeX 4.
    {"<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>", false, {"<|endoftext|>"}},
};

bool has(const Tokenizer& tokenizer, const Scheme& scheme) {
  return tokenizer.token_id(scheme.prefix) != kNoToken && tokenizer.token_id(scheme.suffix) != kNoToken &&
         (scheme.middle.empty() || tokenizer.token_id(scheme.middle) != kNoToken);
}

}  // namespace

Result<FillInMiddle> fill_in_middle(const Tokenizer& tokenizer, std::string_view prefix,
                                    std::string_view suffix) {
  for (const Scheme& scheme : kSchemes) {
    if (!has(tokenizer, scheme)) continue;
    FillInMiddle made;
    // What begins every text of this model.
    made.prompt = TRY(tokenizer.encode("", true));
    const auto append = [&](std::string_view token, std::string_view text) -> Result<void> {
      made.prompt.push_back(tokenizer.token_id(token));
      const std::vector<TokenId> tokens = TRY(tokenizer.encode(text, false));
      made.prompt.insert(made.prompt.end(), tokens.begin(), tokens.end());
      return {};
    };
    if (scheme.suffix_first) TRY(append(scheme.suffix, suffix));
    TRY(append(scheme.prefix, prefix));
    if (!scheme.suffix_first) TRY(append(scheme.suffix, suffix));
    if (!scheme.middle.empty()) made.prompt.push_back(tokenizer.token_id(scheme.middle));
    for (const std::string_view name : scheme.end_tokens) {
      const TokenId token = name.empty() ? kNoToken : tokenizer.token_id(name);
      if (token != kNoToken) made.end_tokens.push_back(token);
    }
    return made;
  }
  return Error(ErrorKind::kUnsupported,
               "suffix is not supported: this model has no fill-in-the-middle tokens; leave it out",
               "suffix");
}

}  // namespace mlxd
