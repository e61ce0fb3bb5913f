#include "cli/bench_server_target.h"

#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <utility>

#include "cli/console.h"
#include "http/client.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

constexpr std::chrono::seconds kListTimeout{30};
constexpr std::size_t kMostMessageBytes = 200;

std::optional<json::object> parse_object(std::string_view text) {
  boost::system::error_code code;
  json::value value = json::parse({text.data(), text.size()}, code);
  if (code || !value.is_object()) return std::nullopt;
  return std::move(value.get_object());
}

const json::value* find(const json::object& object, std::string_view key) { return object.if_contains(key); }

const json::object* find_object(const json::object& object, std::string_view key) {
  const json::value* value = find(object, key);
  return value == nullptr ? nullptr : value->if_object();
}

std::optional<std::int32_t> find_count(const json::object& object, std::string_view key) {
  const json::value* value = find(object, key);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  boost::system::error_code code;
  const auto count = value->to_number<std::int32_t>(code);
  return code || count < 0 ? std::nullopt : std::optional(count);
}

std::string shortened(std::string_view text) {
  std::string shown = without_control_characters(text.substr(0, kMostMessageBytes));
  std::replace(shown.begin(), shown.end(), '\n', ' ');
  return shown + (text.size() > kMostMessageBytes ? "…" : "");
}

// The message of {"error": {"message": …}} or {"error": "…"}; empty if there is none.
std::string error_message(const json::object& body) {
  const json::value* error = find(body, "error");
  if (error == nullptr || error->is_null()) return "";
  if (error->is_string()) return shortened(std::string_view(error->get_string()));
  if (const json::object* details = error->if_object())
    if (const json::value* message = find(*details, "message"); message != nullptr && message->is_string())
      return shortened(std::string_view(message->get_string()));
  return shortened(json::serialize(*error));
}

// The text of a chunk of either dialect: choices[0].text, or .delta.content (or .reasoning_content).
std::string_view text_of(const json::object& choice) {
  const json::object* delta = find_object(choice, "delta");
  const json::object& holder = delta == nullptr ? choice : *delta;
  for (const std::string_view key : {"text", "content", "reasoning_content"}) {
    const json::value* value = find(holder, key);
    if (value != nullptr && value->is_string() && !value->get_string().empty())
      return std::string_view(value->get_string());
  }
  return {};
}

void read_usage(const json::object& chunk, BenchAnswer& answer) {
  const json::object* usage = find_object(chunk, "usage");
  if (usage == nullptr) return;
  if (const auto count = find_count(*usage, "prompt_tokens")) answer.prompt_tokens = *count;
  if (const auto count = find_count(*usage, "completion_tokens")) answer.completion_tokens = *count;
  if (const json::object* details = find_object(*usage, "prompt_tokens_details"))
    if (const auto count = find_count(*details, "cached_tokens")) answer.cached_tokens = *count;
}

class ServerConversation : public BenchConversation {
 public:
  ServerConversation(const BenchServerTarget::Options& options, bool is_chat)
      : options_(options), is_chat_(is_chat) {}

  BenchAnswer ask(const std::string& text, std::int32_t max_tokens, TimePoint deadline) override {
    const std::string body = json::serialize(request(text, max_tokens));
    BenchAnswer answer;
    BenchStreamReader reader(answer);
    answer.sent = Clock::real().now();
    http::Client::Options patience;
    if (deadline != TimePoint::max())
      patience.total_timeout = std::max(std::chrono::ceil<std::chrono::milliseconds>(deadline - answer.sent),
                                        std::chrono::milliseconds(1));
    const auto client = http::Client::create(options_.url, patience);
    if (!client) {
      answer.failure = client.error().message;
      return answer;
    }
    const auto response = client->post_stream(
        is_chat_ ? "/v1/chat/completions" : "/v1/completions", body,
        [&reader](std::string_view data) { return reader.read(data, Clock::real().now()); });
    if (!response)
      answer.failure = Clock::real().now() >= deadline ? kBenchTimeIsUp : response.error().message;
    else if (response->status != 200)
      answer.failure = describe_refusal(response->status, response->body);
    else if (answer.failure.empty())
      reader.finish();
    messages_.push_back(json::object{{"role", "assistant"}, {"content", reader.text()}});
    return answer;
  }

 private:
  json::object request(const std::string& text, std::int32_t max_tokens) {
    messages_.push_back(json::object{{"role", "user"}, {"content", text}});
    json::object body{{"model", options_.model},
                      {"stream", true},
                      {"stream_options", json::object{{"include_usage", true}}},
                      {"temperature", options_.temperature},
                      {"seed", 1},
                      {"max_tokens", max_tokens}};
    if (is_chat_)
      body["messages"] = messages_;
    else
      body["prompt"] = text;
    if (!options_.banned_tokens.empty()) {
      json::object bias;
      for (const std::int32_t token : options_.banned_tokens) bias[std::to_string(token)] = -100;
      body["logit_bias"] = std::move(bias);
    }
    return body;
  }

  const BenchServerTarget::Options& options_;
  const bool is_chat_;
  json::array messages_;
};

Result<std::string> find_model(const http::Client& client, const std::string& url) {
  const auto response = client.get("/v1/models");
  if (!response)
    return Error(response.error().kind, "cannot ask " + url + " for its models: " + response.error().message +
                                            ": is a server running there? ('mlxd serve' starts one)");
  if (response->status != 200)
    return Error(ErrorKind::kUnavailable,
                 "cannot ask " + url +
                     " for its models: " + describe_refusal(response->status, response->body) +
                     (response->status == 503 ? ": try again when it is ready" : ": name one with --model"));
  std::vector<std::string> names;
  const auto body = parse_object(response->body);
  const json::value* data = body ? find(*body, "data") : nullptr;
  if (data == nullptr || !data->is_array())
    return corrupt_data(url + "/v1/models is no list of models: is it an OpenAI-compatible server?");
  for (const json::value& entry : data->get_array()) {
    const json::object* model = entry.if_object();
    const json::value* id = model == nullptr ? nullptr : find(*model, "id");
    if (id != nullptr && id->is_string()) names.emplace_back(std::string_view(id->get_string()));
  }
  if (names.empty()) return not_found(url + " has no models: load one there, or name it with --model");
  if (names.size() > 1) {
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + shortened(name);
    return Error(ErrorKind::kConflict, url + " has several models: name one with --model (" + list + ")");
  }
  return names.front();
}

}  // namespace

Result<std::unique_ptr<BenchServerTarget>> BenchServerTarget::connect(Options options) {
  http::Client::Options patience;
  patience.total_timeout = kListTimeout;
  const http::Client client = TRY(http::Client::create(options.url, patience));
  if (options.model.empty()) options.model = TRY(find_model(client, options.url));
  return std::unique_ptr<BenchServerTarget>(new BenchServerTarget(std::move(options)));
}

std::unique_ptr<BenchConversation> BenchServerTarget::begin(bool is_chat) {
  return std::make_unique<ServerConversation>(options_, is_chat);
}

bool BenchStreamReader::read(std::string_view data, TimePoint now) {
  if (data == "[DONE]") {
    is_done_ = true;
    return true;
  }
  const auto chunk = parse_object(data);
  if (!chunk) {
    answer_.failure = "the stream has an event that is no JSON object: " + shortened(data);
    return false;
  }
  if (std::string message = error_message(*chunk); !message.empty()) {
    answer_.failure = "failed in mid-stream: " + message;
    return false;
  }
  read_usage(*chunk, answer_);
  const json::value* choices = find(*chunk, "choices");
  if (choices == nullptr || !choices->is_array()) return true;
  bool has_text = false;
  for (const json::value& entry : choices->get_array()) {
    if (!entry.is_object()) continue;
    const std::string_view text = text_of(entry.get_object());
    has_text = has_text || !text.empty();
    text_ += text;
  }
  if (has_text) answer_.times.push_back(now);
  return true;
}

void BenchStreamReader::finish() {
  if (!is_done_)
    answer_.failure = "the answer is no stream that ends in [DONE]";
  else if (answer_.times.empty())
    answer_.failure = "the answer has no text";
  // A server that sends no usage: its pieces are nearest to its tokens.
  if (answer_.completion_tokens == 0)
    answer_.completion_tokens = static_cast<std::int32_t>(answer_.times.size());
}

std::string describe_refusal(int status, std::string_view body) {
  const auto object = parse_object(body);
  std::string message = object ? error_message(*object) : "";
  if (message.empty()) message = shortened(body);
  return "status " + std::to_string(status) + (message.empty() ? "" : ": " + message);
}

}  // namespace mlxd::cli
