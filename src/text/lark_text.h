// Pieces of a Lark grammar as llguidance reads it: text as strings and special tokens. Pure.
#pragma once

#include <string>
#include <string_view>

#include "generation/token.h"
#include "text/tokenizer.h"

namespace mlxd {

/// The special token that begins `text`, with its size in bytes, if one does: such tokens can be named, but
/// not spelled.
TokenId special_token_at(std::string_view text, const Tokenizer& tokenizer, std::size_t& size);
/// Text as a sequence of strings and special tokens, with a blank at its end; empty for no text.
std::string lark_text(std::string_view text, const Tokenizer& tokenizer);
/// A regular expression between slashes.
std::string lark_regex(std::string_view expression);
/// An expression that matches just this text.
std::string regex_of_text(std::string_view text);
/// Any text up to and including `mark`, as an item of a rule. `rules` gets what it needs, under a name that
/// begins with `name`. `body`: what the text before the mark matches.
std::string lark_text_until(std::string_view mark, const Tokenizer& tokenizer, const std::string& name,
                            std::string& rules, std::string_view body = "(?s:.*)");

}  // namespace mlxd
