#include "text/detokenizer.h"

#include <vector>

#include "text/lossy_utf8.h"
#include "text/textkit_call.h"
#include "text/tokenizer_impl.h"

namespace mlxd {

namespace {

std::string encode_utf8(std::uint32_t code_point) {
  std::string out;
  if (code_point < 0x80) {
    out.push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    out.push_back(static_cast<char>(0xC0 | (code_point >> 6)));
    out.push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
  } else if (code_point < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | (code_point >> 12)));
    out.push_back(static_cast<char>(0x80 | ((code_point >> 6) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | (code_point >> 18)));
    out.push_back(static_cast<char>(0x80 | ((code_point >> 12) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | ((code_point >> 6) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
  }
  return out;
}

}  // namespace

struct Detokenizer::Impl {
  Impl(const Tokenizer::Impl& tokenizer_impl, bool skip)
      : tokenizer(tokenizer_impl), skip_special_tokens(skip), num_to_strip(tokenizer.table.strip_start) {
    if (num_to_strip > 0) strip_text = encode_utf8(tokenizer.table.strip_character);
  }

  bool gives_text(TokenId token) const {
    const unsigned flags = tokenizer.flags(token);
    if ((flags & TEXTKIT_TOKEN_PRESENT) == 0) return false;
    return !(skip_special_tokens && (flags & TEXTKIT_TOKEN_SPECIAL) != 0);
  }

  std::string push(TokenId token) {
    if (!gives_text(token)) return {};
    std::string out;
    switch (tokenizer.table.decoder) {
      case TEXTKIT_DECODER_BYTES:
        repair.push(tokenizer.piece(token), out);
        break;
      case TEXTKIT_DECODER_PIECES:
        push_piece(token, out);
        break;
      case TEXTKIT_DECODER_OTHER:
        push_window(token, out);
        break;
    }
    return out;
  }

  std::string finish() {
    std::string out;
    switch (tokenizer.table.decoder) {
      case TEXTKIT_DECODER_BYTES:
        repair.finish(out);
        break;
      case TEXTKIT_DECODER_PIECES:
        release_byte_run(out);
        break;
      case TEXTKIT_DECODER_OTHER:
        finish_window(out);
        break;
    }
    return out;
  }

  // Decoders whose text is the tokens' pieces in a row. A run of byte tokens is a string of its own: whether
  // it is valid, and so whether any of it is shown as it stands, is known only at its end.
  void push_piece(TokenId token, std::string& out) {
    const bool first = !started;
    started = true;
    if ((tokenizer.flags(token) & TEXTKIT_TOKEN_BYTE) != 0) {
      byte_run.append(tokenizer.piece(token));
      return;
    }
    release_byte_run(out);
    if (first && tokenizer.table.first_piece_differs != 0) {
      auto piece = textkit::call_for_text([&](TextkitText* output, TextkitText* error) {
        return textkit_tokenizer_first_piece(tokenizer.handle, static_cast<std::uint32_t>(token), output,
                                             error);
      });
      append_stripped(piece ? std::string_view(piece.value()) : tokenizer.piece(token), out);
    } else {
      append_stripped(tokenizer.piece(token), out);
    }
  }

  void release_byte_run(std::string& out) {
    if (byte_run.empty()) return;
    if (is_valid_utf8(byte_run)) {
      append_stripped(byte_run, out);
    } else {
      num_to_strip = 0;
      for (std::size_t i = 0; i < byte_run.size(); ++i) out.append(kReplacementCharacter);
    }
    byte_run.clear();
  }

  /// Leaves out what the decoder strips from the start of the whole text.
  void append_stripped(std::string_view text, std::string& out) {
    while (num_to_strip > 0 && !text.empty()) {
      if (!text.starts_with(strip_text)) {
        num_to_strip = 0;
        break;
      }
      text.remove_prefix(strip_text.size());
      --num_to_strip;
    }
    out.append(text);
  }

  // Any other decoder: decode a short window twice, without and with the new token, and take the difference.
  void push_window(TokenId token, std::string& out) {
    tokens.push_back(token);
    const std::string before = decode(window_start, read_end);
    const std::string after = decode(window_start, tokens.size());
    const bool may_be_incomplete =
        after.ends_with(kReplacementCharacter) && tokens.size() - read_end < kMaxHeldTokens;
    if (may_be_incomplete || after.size() <= before.size() || !after.starts_with(before)) {
      if (tokens.size() - window_start > kMaxWindowTokens) {
        window_start = read_end;
        read_end = tokens.size();
      }
      return;
    }
    emit(std::string_view(after).substr(before.size()), out);
    window_start = read_end;
    read_end = tokens.size();
  }

  void finish_window(std::string& out) {
    const std::string whole = decode(0, tokens.size());
    if (std::string_view(whole).starts_with(emitted)) {
      out = whole.substr(emitted.size());
    } else {
      const std::string before = decode(window_start, read_end);
      const std::string after = decode(window_start, tokens.size());
      if (after.starts_with(before)) out = after.substr(before.size());
    }
    emitted.append(out);
    window_start = read_end = tokens.size();
  }

  void emit(std::string_view text, std::string& out) {
    out.append(text);
    emitted.append(text);
  }

  std::string decode(std::size_t begin, std::size_t end) const {
    // TokenId has the ids' width and holds only ids that the vocabulary has.
    const auto* ids = reinterpret_cast<const std::uint32_t*>(tokens.data()) + begin;
    auto text = textkit::call_for_text([&](TextkitText* output, TextkitText* error) {
      return textkit_tokenizer_decode(tokenizer.handle, ids, end - begin, skip_special_tokens ? 1 : 0, output,
                                      error);
    });
    return text ? text.take_value() : std::string();
  }

  // A character has at most four bytes, so it never spans more tokens than this.
  static constexpr std::size_t kMaxHeldTokens = 5;
  static constexpr std::size_t kMaxWindowTokens = 32;

  const Tokenizer::Impl& tokenizer;
  const bool skip_special_tokens;
  LossyUtf8 repair;

  bool started = false;
  std::uint32_t num_to_strip;
  std::string strip_text;
  std::string byte_run;

  std::vector<TokenId> tokens;
  std::size_t window_start = 0;
  std::size_t read_end = 0;
  std::string emitted;
};

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens)
    : impl_(std::make_unique<Impl>(*tokenizer.impl_, skip_special_tokens)) {}
Detokenizer::~Detokenizer() = default;
Detokenizer::Detokenizer(Detokenizer&&) noexcept = default;
Detokenizer& Detokenizer::operator=(Detokenizer&&) noexcept = default;

std::string Detokenizer::push(TokenId token) { return impl_->push(token); }
std::string Detokenizer::finish() { return impl_->finish(); }

}  // namespace mlxd
