#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "api/openai/profile_defaults.h"
#include "api/openai/response_answer.h"
#include "api/openai/response_items.h"
#include "api/openai/response_list.h"
#include "api/openai/response_request.h"
#include "server/generation_dialect.h"
#include "server/prompt_tokens.h"
#include "server/response_archive.h"

namespace mlxd {
namespace {

namespace json = boost::json;
namespace openai = api::openai;

// The request's items and the answer's.
Result<void> append_items(json::array& items, const StoredResponse& stored) {
  json::error_code code;
  json::parse_options deep;
  deep.max_depth = openai::kMaxKeptDepth;
  const json::value input = json::parse(stored.input_json, code, {}, deep);
  const json::value response = code ? json::value() : json::parse(stored.response_json, code, {}, deep);
  const json::object* object = response.if_object();
  const json::value* output = object == nullptr ? nullptr : object->if_contains("output");
  if (code || !input.is_array() || output == nullptr || !output->is_array())
    return corrupt_data("the response '" + stored.id + "' is damaged: begin a new conversation");
  for (const json::array* each : {&input.get_array(), &output->get_array()})
    items.insert(items.end(), each->begin(), each->end());
  return {};
}

const json::value* find_item(const json::array& items, const std::string& id) {
  const auto found = std::find_if(items.begin(), items.end(), [&](const json::value& item) {
    const json::object* object = item.if_object();
    const json::value* own = object == nullptr ? nullptr : object->if_contains("id");
    return own != nullptr && *own == json::value(id);
  });
  return found == items.end() ? nullptr : &*found;
}

bool is_reference(const json::object& item) {
  const json::value* type = item.if_contains("type");
  return type != nullptr && *type == "item_reference";
}

// References become the items that they name.
Result<void> resolve_references(json::array& input, const json::array& history, const ResponseOwner& owner,
                                ResponseArchive& archive) {
  for (std::size_t i = 0; i < input.size(); ++i) {
    json::object* object = input[i].if_object();
    if (object == nullptr || !is_reference(*object)) continue;
    const std::string id(object->at("id").as_string());
    const std::string field = "input[" + std::to_string(i) + "].id";
    if (const json::value* found = find_item(history, id)) {
      input[i] = *found;
      continue;
    }
    const Error missing = invalid_argument(
        field + " names the item '" + id.substr(0, 100) + "', which is not kept: send the item itself",
        field);
    const auto stored = archive.find(owner, openai::response_of_item(id));
    if (!stored.ok()) return stored.error().kind == ErrorKind::kNotFound ? missing : stored.error();
    json::array items;
    TRY(append_items(items, *stored));
    const json::value* found = find_item(items, id);
    if (found == nullptr) return missing;
    input[i] = *found;
  }
  return {};
}

Result<http::Response> count_tokens(const api::GenerationCall& call, const ServedModel& model) {
  const TokenizedPrompts tokenized = TRY(tokenize_prompts(call, model, PromptSize::kAny));
  http::Response response;
  response.body = openai::encode_input_tokens(std::ssize(tokenized.prompts.front()));
  return response;
}

Result<void> look_up(api::GenerationCall& call, const Caller& caller, ResponseArchive& archive) {
  auto& own = static_cast<openai::ResponseDetails&>(*call.details);
  own.owner = response_owner(caller);
  own.store = own.store && archive.keeps();
  json::array history;
  if (!own.previous_id.empty()) {
    const auto chain = archive.chain(own.owner, own.previous_id);
    if (!chain.ok()) {
      if (chain.error().kind != ErrorKind::kNotFound) return chain.error();
      return invalid_argument("previous_response_id: " + chain.error().message, "previous_response_id");
    }
    for (const StoredResponse& each : *chain) TRY(append_items(history, each));
  }
  TRY(resolve_references(own.input, history, own.owner, archive));
  TRY(openai::set_items(call, history, own.input));
  if (call.conversation->messages.empty())
    return invalid_argument("input has no item that the model could answer", "input");
  return {};
}

}  // namespace

std::vector<GenerationDialect> responses_dialects(bool strict, ResponseArchive* archive) {
  GenerationDialect dialect;
  dialect.path = "/v1/responses";
  dialect.decode = [strict](std::string_view body, api::UnknownFields unknown) {
    return openai::decode_response_request(body, strict, unknown);
  };
  dialect.look_up = [archive](api::GenerationCall& call, const Caller& caller) {
    return look_up(call, caller, *archive);
  };
  dialect.encoder = [archive](const api::GenerationCall& call,
                              api::AnswerInfo info) -> std::unique_ptr<api::AnswerEncoder> {
    const auto details = std::static_pointer_cast<const openai::ResponseDetails>(call.details);
    return std::make_unique<openai::ResponseAnswerEncoder>(openai::ResponseAnswerEncoder::Options{
        .info = std::move(info),
        .details = details,
        .keep = [archive, owner = details->owner](std::string id, std::function<StoredResponse()> write) {
          archive->keep(std::move(id), owner, std::move(write));
        }});
  };
  dialect.with_defaults = [](std::string_view body, const Profile& profile) {
    return openai::with_profile_defaults(body, profile.defaults, openai::ProfileUse::kResponse);
  };
  dialect.field_names = {{"reasoning_effort", "reasoning.effort"}};
  GenerationDialect batch = dialect;
  batch.path = "/v1/batch/responses";
  batch.priority = Priority::kLow;
  GenerationDialect count = dialect;
  count.path = "/v1/responses/input_tokens";
  count.encoder = {};
  count.answer = count_tokens;
  return {std::move(dialect), std::move(batch), std::move(count)};
}

}  // namespace mlxd
