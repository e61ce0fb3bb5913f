#include "api/tokens/token_requests.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "api/json_text.h"
#include "api/openai/chat_request.h"
#include "api/openai/request_fields.h"

namespace mlxd::api::tokens {

namespace json = boost::json;

namespace {

using openai::RequestDraft;

Result<void> read_text(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.prompts.emplace_back(TRY(read_string(value, field)));
  return {};
}

Result<void> read_tokens(const json::value& value, std::string_view field, RequestDraft& draft) {
  const json::array& list = *TRY(read_array(value, field));
  std::vector<TokenId> tokens;
  tokens.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto token = read_integer(list[i], field, 0, std::numeric_limits<TokenId>::max());
    if (!token.ok())
      return invalid_argument(
          std::string(field) + "[" + std::to_string(i) + "] is " + shown(list[i]) + ", must be a token id",
          std::string(field));
    tokens.push_back(static_cast<TokenId>(*token));
  }
  draft.call.prompts.emplace_back(std::move(tokens));
  return {};
}

Result<void> read_add_special_tokens(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.token_view.special_tokens = TRY(read_boolean(value, field));
  return {};
}

Result<void> read_skip_special_tokens(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.token_view.special_tokens = !TRY(read_boolean(value, field));
  return {};
}

Result<void> read_pieces(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.token_view.pieces = TRY(read_boolean(value, field));
  return {};
}

constexpr auto kRequired = FieldUse::kRequired;
constexpr auto kHonoured = FieldUse::kHonoured;

constexpr Meaning kPieces{"Whether each token's text is given too.", boolean().by_default("false")};

constexpr Field<RequestDraft> kTextFields[] = {
    {"model", kRequired, openai::read_model, meaning::kModel},
    {"text", kRequired, read_text, {"What to tokenize.", mlxd::api::text()}},
    {"add_special_tokens",
     kHonoured,
     read_add_special_tokens,
     {"Whether the tokens are there that the tokenizer puts around a text.", boolean().by_default("true")}},
    {"pieces", kHonoured, read_pieces, kPieces},
    {"keep_alive", kHonoured, openai::read_keep_alive, meaning::kKeepAlive},
};

constexpr Field<RequestDraft> kTokenFields[] = {
    {"model", kRequired, openai::read_model, meaning::kModel},
    {"tokens", kRequired, read_tokens, {"The ids.", typed("integer[]")}},
    {"skip_special_tokens",
     kHonoured,
     read_skip_special_tokens,
     {"Whether tokens that are no text are left out.", boolean().by_default("false")}},
    {"keep_alive", kHonoured, openai::read_keep_alive, meaning::kKeepAlive},
};

Result<GenerationCall> decode_chat(json::object object, bool strict, UnknownFields unknown) {
  RequestDraft draft;
  if (const json::value* pieces = present(object, "pieces")) TRY(read_pieces(*pieces, "pieces", draft));
  object.erase("pieces");
  GenerationCall call = TRY(openai::decode_chat_object(object, strict, unknown));
  call.token_view = draft.call.token_view;
  return call;
}

}  // namespace

std::vector<FieldInfo> text_infos() { return infos_of<RequestDraft>(kTextFields); }
std::vector<FieldInfo> token_infos() { return infos_of<RequestDraft>(kTokenFields); }
std::vector<FieldInfo> chat_infos() {
  std::vector<FieldInfo> infos = infos_of(openai::chat_fields());
  infos.push_back({"pieces", kHonoured, kPieces});
  return infos;
}

Result<GenerationCall> decode_tokenize_request(std::string_view body, bool strict, UnknownFields unknown) {
  json::object object = TRY(parse_request_object(body));
  if (object.contains("messages") && object.contains("text"))
    return invalid_argument("text is not taken together with messages: send one of them", "text");
  if (object.contains("messages")) return decode_chat(std::move(object), strict, unknown);
  RequestDraft draft;
  draft.unknown_fields = unknown;
  TRY(read_fields<RequestDraft>(object, kTextFields, draft));
  TRY(openai::check_common(draft));
  draft.call.prompt_field = "text";
  return std::move(draft.call);
}

Result<GenerationCall> decode_detokenize_request(std::string_view body, UnknownFields unknown) {
  const json::object object = TRY(parse_request_object(body));
  RequestDraft draft;
  draft.unknown_fields = unknown;
  TRY(read_fields<RequestDraft>(object, kTokenFields, draft));
  TRY(openai::check_common(draft));
  draft.call.prompt_field = "tokens";
  return std::move(draft.call);
}

std::string encode_tokens(std::span<const TokenId> tokens, std::int64_t context_tokens,
                          const std::vector<std::string>* pieces) {
  std::string out = R"({"tokens":[)";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) out += ',';
    append_json_number(out, std::int64_t{tokens[i]});
  }
  out += R"(],"count":)";
  append_json_number(out, static_cast<std::int64_t>(tokens.size()));
  out += R"(,"context_length":)";
  append_json_number(out, context_tokens);
  if (pieces != nullptr) {
    out += R"(,"pieces":[)";
    for (std::size_t i = 0; i < pieces->size(); ++i) {
      if (i > 0) out += ',';
      append_json_string(out, (*pieces)[i]);
    }
    out += ']';
  }
  out += '}';
  return out;
}

std::string encode_text(std::string_view text) {
  std::string out = R"({"text":)";
  append_json_string(out, text);
  out += '}';
  return out;
}

}  // namespace mlxd::api::tokens
