// /v1/responses: requests read, answers and events written, as in the types of OpenAI's own client.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <set>
#include <string>
#include <vector>

#include "api/openai/response_answer.h"
#include "api/openai/response_items.h"
#include "api/openai/response_list.h"
#include "api/openai/response_request.h"
#include "api/openai/text_argument.h"

namespace mlxd::api::openai {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using Kind = AnswerPiece::Kind;

std::string request(std::string_view more, std::string_view input = R"("Hi")") {
  return R"({"model":"m","input":)" + std::string(input) + (more.empty() ? "" : ",") + std::string(more) +
         "}";
}

GenerationCall decoded(std::string_view more, std::string_view input = R"("Hi")") {
  auto call = decode_response_request(request(more, input), false);
  EXPECT_TRUE(call.ok()) << (call.ok() ? "" : call.error().message) << "\n" << input << more;
  return call.ok() ? call.take_value() : GenerationCall();
}

const ResponseDetails& details(const GenerationCall& call) {
  return static_cast<const ResponseDetails&>(*call.details);
}

// A message in few letters: "user: Hi", with what else there is behind.
std::string brief(const Message& message) {
  std::string text = std::string(to_string(message.role)) + ": " + message.content;
  if (!message.reasoning.empty()) text += " (thought " + message.reasoning + ")";
  for (const ToolCall& call : message.tool_calls)
    text += " [" + call.id + " " + call.name + " " + call.arguments + "]";
  if (!message.tool_call_id.empty()) text += " <" + message.tool_call_id + " " + message.name + ">";
  return text;
}

std::vector<std::string> messages(const GenerationCall& call) {
  std::vector<std::string> all;
  if (!call.conversation) return all;
  for (const Message& message : call.conversation->messages) all.push_back(brief(message));
  return all;
}

TEST(ResponseRequest, reads_a_text_and_instructions) {
  const GenerationCall call = decoded(R"("instructions":"Be brief.")");
  EXPECT_THAT(messages(call), ElementsAre("system: Be brief.", "user: Hi"));
  EXPECT_EQ(call.model, "m");
  EXPECT_EQ(call.prompt_field, "input");
  EXPECT_EQ(json::serialize(details(call).input),
            R"([{"type":"message","role":"user","content":[{"type":"input_text","text":"Hi"}]}])");
  EXPECT_TRUE(details(call).store);
}

TEST(ResponseRequest, puts_items_together_into_messages) {
  const GenerationCall call = decoded(R"("store":false)", R"([
    {"role":"developer","content":"D"},
    {"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]},
    {"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},
    {"type":"message","role":"assistant","id":"msg_1","status":"completed","content":[{"type":"output_text","text":"ok","annotations":[]}]},
    {"type":"function_call","call_id":"c1","name":"f","arguments":"{\"x\":1}"},
    {"type":"custom_tool_call","call_id":"c2","name":"patch","input":"a\n\"b\""},
    {"type":"function_call_output","call_id":"c1","output":"1"},
    {"type":"custom_tool_call_output","call_id":"c2","output":[{"type":"input_text","text":"2"}]},
    {"type":"reasoning","summary":[{"type":"summary_text","text":"so"}],"encrypted_content":null},
    {"type":"function_call","call_id":"c3","name":"f","arguments":""},
    {"type":"message","role":"assistant","content":"after a call"},
    {"type":"web_search_call","id":"ws_1","status":"completed"},
    {"type":"reasoning","summary":[],"encrypted_content":"mlxd:own"},
    {"type":"reasoning","summary":[],"encrypted_content":"gAAAA"},
    {"type":"item_reference","id":"msg_x_0"}])");
  EXPECT_THAT(
      messages(call),
      ElementsAre("system: D", "user: ab",
                  "assistant: ok (thought hm) [c1 f {\"x\":1}] [c2 patch {\"input\": \"a\\n\\\"b\\\"\"}]",
                  "tool: 1 <c1 f>", "tool: 2 <c2 patch>", "assistant:  (thought so) [c3 f {}]",
                  "assistant: after a call", "assistant:  (thought own)"));
  EXPECT_THAT(call.ignored, ElementsAre("input[11] (web_search_call)", "input[13].encrypted_content"));
  EXPECT_FALSE(details(call).store);
}

TEST(ResponseRequest, reads_every_parameter) {
  const GenerationCall call = decoded(
      R"("max_output_tokens":9,"temperature":0.5,"top_p":0.25,"top_logprobs":3,"include":["reasoning.encrypted_content",
      "message.output_text.logprobs","file_search_call.results"],"reasoning":{"effort":"low","summary":"auto"},
      "text":{"format":{"type":"json_schema","name":"n","strict":true,"schema":{"type":"object"}},"verbosity":"low"},
      "parallel_tool_calls":false,"truncation":"auto","stream":true,"stream_options":{"include_obfuscation":false},
      "metadata":{"k":"v"},"user":"u","service_tier":"auto","safety_identifier":"s","prompt_cache_key":"p",
      "background":false,"previous_response_id":"resp_1","seed":7,"stop":"x","top_k":5)");
  EXPECT_EQ(call.max_tokens, 9);
  EXPECT_EQ(call.sampling.temperature, 0.5F);
  EXPECT_EQ(call.sampling.top_p, 0.25F);
  EXPECT_EQ(call.sampling.top_logprobs, 3);
  EXPECT_TRUE(call.sampling.logprobs);
  EXPECT_EQ(call.sampling.seed, 7U);
  EXPECT_EQ(call.sampling.top_k, 5);
  EXPECT_EQ(call.conversation->reasoning_effort, "low");
  EXPECT_EQ(call.answer_grammar, (Grammar{GrammarKind::kJsonSchema, R"({"type": "object"})"}));
  EXPECT_EQ(call.grammar_field, "text.format");
  EXPECT_EQ(call.max_tool_calls, 1);
  EXPECT_TRUE(call.drop_oldest);
  EXPECT_TRUE(call.stream);
  EXPECT_TRUE(details(call).summary);
  EXPECT_TRUE(details(call).encrypted_reasoning);
  EXPECT_TRUE(details(call).logprobs);
  EXPECT_EQ(details(call).previous_id, "resp_1");
  const json::object echo = json::parse("{" + details(call).echo_json + "}").as_object();
  EXPECT_EQ(echo.at("temperature"), 0.5);
  EXPECT_EQ(echo.at("metadata").at("k"), "v");
  EXPECT_EQ(echo.at("text").at("format").at("name"), "n");
  EXPECT_EQ(echo.at("text").at("verbosity"), "low");
  EXPECT_EQ(echo.at("reasoning").at("effort"), "low");
  EXPECT_EQ(echo.at("truncation"), "auto");
  EXPECT_EQ(echo.at("previous_response_id"), "resp_1");
  EXPECT_EQ(echo.at("tools"), json::array());
}

constexpr std::string_view kTools =
    R"("tools":[{"type":"function","name":"f","description":"F","parameters":{"type":"object","properties":{}},"strict":false},
    {"type":"web_search"},{"type":"custom","name":"patch","description":"P","format":{"type":"grammar","syntax":"lark","definition":"start: \"a\""}},
    {"type":"local_shell"},{"type":"function","name":"g","parameters":null,"strict":true},
    {"type":"custom","name":"digits","format":{"type":"grammar","syntax":"regex","definition":"[0-9]+"}}])";

TEST(ResponseRequest, declares_functions_as_a_chat_does_and_text_tools_as_functions_of_one_text) {
  const GenerationCall call = decoded(kTools);
  const std::vector<Tool>& tools = call.conversation->tools;
  ASSERT_EQ(tools.size(), 4U);
  EXPECT_EQ(
      tools[0].declaration_json,
      R"({"type": "function", "function": {"name": "f", "description": "F", "parameters": {"type": "object", "properties": {}}}})");
  EXPECT_EQ(tools[0].parameters_json, R"({"type": "object", "properties": {}})");
  const json::value patch = json::parse(tools[1].declaration_json).at("function");
  EXPECT_EQ(patch.at("name"), "patch");
  EXPECT_EQ(patch.at("description"), "P\nThe input matches this Lark grammar:\nstart: \"a\"");
  EXPECT_EQ(patch.at_pointer("/parameters/properties/input/type"), "string");
  EXPECT_EQ(tools[2].declaration_json, R"({"type": "function", "function": {"name": "g"}})");
  EXPECT_EQ(json::parse(tools[3].parameters_json).at_pointer("/properties/input/pattern"), "^(?:[0-9]+)$");
  EXPECT_THAT(details(call).text_tools, ElementsAre("patch", "digits"));
  EXPECT_THAT(call.ignored,
              ElementsAre("tools[1] (web_search)", "tools[3] (local_shell)", "tools[2].format"));
  EXPECT_FALSE(tools[0].strict);
  EXPECT_TRUE(tools[2].strict);
  EXPECT_TRUE(tools[3].strict);
  EXPECT_EQ(json::parse("{" + details(call).echo_json + "}").at("tools").as_array().size(), 4U);
}

TEST(ResponseRequest, knows_built_in_tools_of_any_date) {
  EXPECT_THAT(
      decoded(R"("tools":[{"type":"web_search_preview_2025_03_11"},{"type":"mcp","server_label":"s"}])")
          .ignored,
      ElementsAre("tools[0] (web_search_preview_2025_03_11)", "tools[1] (mcp)"));
}

TEST(ResponseRequest, a_choice_leaves_the_tools_that_may_be_called) {
  const auto chosen = [](std::string_view choice) {
    const GenerationCall call = decoded(std::string(kTools) + R"(,"tool_choice":)" + std::string(choice));
    std::string text = call.conversation->must_call ? "must" : "may";
    if (!call.conversation->tool_to_call.empty()) text += " " + call.conversation->tool_to_call;
    text += " of";
    for (const Tool& tool : call.conversation->tools) text += " " + tool.name;
    return text;
  };
  EXPECT_EQ(chosen(R"("auto")"), "may of f patch g digits");
  EXPECT_EQ(chosen(R"("none")"), "may of");
  EXPECT_EQ(chosen(R"({"type":"function","name":"g"})"), "must g of f patch g digits");
  EXPECT_EQ(chosen(R"({"type":"custom","name":"digits"})"), "must digits of f patch g digits");
  EXPECT_EQ(chosen(R"({"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"},
      {"type":"custom","name":"patch"},{"type":"web_search"}]})"),
            "may of f patch");
}

TEST(ResponseRequest, refuses_by_name) {
  const struct {
    std::string body;
    std::string field;
    std::string in_message;
  } cases[] = {
      {R"({"input":"x"})", "model", "missing"},
      {R"({"model":"m"})", "input", "missing"},
      {request("", "[]"), "input", "at least one item"},
      {request("", "7"), "input", "a string or a list"},
      {request("", "[7]"), "input[0]", "an object"},
      {request("", R"([{"role":"tool","content":"x"}])"), "input[0].role", "must be user, assistant"},
      {request("", R"([{"role":"user"}])"), "input[0].content", "missing"},
      {request("", R"([{"role":"user","content":[{"type":"input_image","image_url":"data:"}]}])"),
       "input[0].content[0].type", "text only"},
      {request("", R"([{"type":"compaction","encrypted_content":"x"}])"), "input[0].type", "not supported"},
      {request("", R"([{"type":"function_call","name":"f","arguments":"{}"}])"), "input[0].call_id",
       "missing"},
      {request("", R"([{"type":"item_reference"}])"), "input[0].id", "missing"},
      {request(R"("background":true)"), "background", "stream: true"},
      {request(R"("conversation":"c")"), "conversation", "previous_response_id"},
      {request(R"("prompt":{"id":"x"})"), "prompt", "instructions"},
      {request(R"("max_tokens":5)"), "max_tokens", "unknown parameter"},
      {request(R"("previous_response_id":"")"), "previous_response_id", "empty"},
      {request(R"("max_output_tokens":0)"), "max_output_tokens", "between 1"},
      {request(R"("top_logprobs":21)"), "top_logprobs", "between 0 and 20"},
      {request(R"("include":["nonsense"])"), "include[0]", "nonsense"},
      {request(R"("truncation":"middle")"), "truncation", "auto or disabled"},
      {request(R"("reasoning":{"effort":"much"})"), "reasoning.effort", "much"},
      {request(R"("reasoning":{"power":1})"), "reasoning.power", "unknown"},
      {request(R"("text":{"format":{"type":"xml"}})"), "text.format.type", "json_schema"},
      {request(R"("text":{"verbosity":"loud"})"), "text.verbosity", "medium"},
      {request(R"("metadata":{"a":1})"), "metadata.a", "a string"},
      {request(R"("stream_options":{"include_usage":true},"stream":true)"), "stream_options.include_usage",
       "always"},
      {request(R"("tools":[{"type":"strange"}])"), "tools[0].type", "function or custom"},
      {request(R"("tools":[{"type":"web_search_2025\r\nx: y"}])"), "tools[0].type", "function or custom"},
      {request(R"("tools":[{"type":"function","name":"a b"}])"), "tools[0].name", "letters"},
      {request(
           R"("tools":[{"type":"custom","name":"a","format":{"type":"grammar","syntax":"bnf","definition":""}}])"),
       "tools[0].format.syntax", "lark or regex"},
      {request(R"("tool_choice":"required")"), "tool_choice", "no tools"},
      {request(R"("tools":[{"type":"web_search"}],"tool_choice":"required")"), "tool_choice", "no tools"},
      {request(R"("tools":[{"type":"web_search"}],"tool_choice":{"type":"web_search"})"), "tool_choice",
       "web_search"},
      {request(std::string(kTools) + R"(,"tool_choice":{"type":"function","name":"h"})"), "tool_choice.name",
       "none of the tools"},
      {request(std::string(kTools) + R"(,"tool_choice":{"type":"function","name":"patch"})"),
       "tool_choice.name", "none of the tools"},
      {request(std::string(kTools) + R"(,"tool_choice":{"type":"custom","name":"patch"})"), "tools[2].format",
       "Lark"},
  };
  for (const auto& each : cases) {
    const auto call = decode_response_request(each.body, false);
    ASSERT_FALSE(call.ok()) << each.body;
    EXPECT_EQ(call.error().field, each.field) << each.body;
    EXPECT_THAT(call.error().message, ::testing::HasSubstr(each.in_message)) << each.body;
  }
  const std::string odd = request("", R"([{"role":"user","content":"x","odd":1}])");
  EXPECT_TRUE(decode_response_request(odd, false).ok());
  EXPECT_EQ(decode_response_request(odd, true).error().field, "input[0].odd");
}

TEST(ResponseRequest, says_of_every_field_how_it_is_used) {
  std::set<std::string_view> names;
  for (const Field<ResponseDraft>& field : response_fields()) {
    EXPECT_TRUE(names.insert(field.name).second) << field.name;
    EXPECT_TRUE(field.use != FieldUse::kHonoured || field.read != nullptr) << field.name;
  }
}

TEST(ResponseItems, get_the_ids_that_they_lack) {
  json::array items = read_input(json::parse(R"([{"role":"user","content":"longer than a string's own room"},
      {"type":"function_call_output","id":"own","call_id":"c","output":"1"}])"))
                          .take_value();
  number_items(items, "R");
  EXPECT_EQ(items[0].at("id"), "msg_R_in0");
  EXPECT_EQ(items[0].at("status"), "completed");
  EXPECT_EQ(items[1].at("id"), "own");
  EXPECT_EQ(response_of_item("msg_R_in0"), "resp_R");
  EXPECT_EQ(response_of_item("msg"), "");
  EXPECT_EQ(response_of_item("msg_x"), "");
}

TEST(ResponseItems, are_listed_by_pages) {
  const std::string items = R"([{"id":"a"},{"id":"b"},{"id":"c"}])";
  EXPECT_EQ(
      encode_item_list(items, {.limit = 2}).value(),
      R"({"object": "list", "data": [{"id": "c"}, {"id": "b"}], "first_id": "c", "last_id": "b", "has_more": true})");
  EXPECT_EQ(
      encode_item_list(items, {.limit = 2, .after = "b"}).value(),
      R"({"object": "list", "data": [{"id": "a"}], "first_id": "a", "last_id": "a", "has_more": false})");
  EXPECT_EQ(encode_item_list(items, {.limit = 9, .ascending = true, .after = "c"}).value(),
            R"({"object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false})");
  EXPECT_EQ(encode_item_list(items, {.after = "z"}).error().field, "after");
  EXPECT_EQ(encode_item_list("{", {}).error().kind, ErrorKind::kCorruptData);
}

TEST(TextArgument, is_the_text_whichever_way_its_json_is_cut) {
  const struct {
    std::string json;
    std::string text;
  } cases[] = {
      {R"({"input":"a\nb\t\"c\" \\ \/ é"})", "a\nb\t\"c\" \\ / é"},
      {R"( { "input" : "\u0041\u00e9\u20ac\ud834\udd1e." } )", "Aé€𝄞."},
      {R"({"input":"\ud834x\udd1e\ud834"})", "\uFFFDx\uFFFD\uFFFD"},
      {R"({"input":""})", ""},
      {R"({"text":"x"})", R"({"text":"x"})"},
      {R"({"input":5})", R"({"input":5})"},
      {R"({"input":"cut off)", "cut off"},
      {R"({"input":"half \ud834)", "half \uFFFD"},
  };
  for (const auto& each : cases) {
    for (std::size_t size = 1; size <= each.json.size(); ++size) {
      TextArgument argument;
      std::string joined;
      for (std::size_t at = 0; at < each.json.size(); at += size)
        joined += argument.push(std::string_view(each.json).substr(at, size));
      joined += argument.finish();
      EXPECT_EQ(joined, each.text) << size;
      EXPECT_EQ(argument.text(), each.text) << size;
    }
  }
}

// What is written of an answer.

const Usage kUsage{
    .prompt_tokens = 3, .completion_tokens = 2, .cached_prompt_tokens = 1, .reasoning_tokens = 1};
constexpr std::string_view kUsageJson =
    R"({"input_tokens":3,"input_tokens_details":{"cached_tokens":1,"cache_write_tokens":0},"output_tokens":2,)"
    R"("output_tokens_details":{"reasoning_tokens":1},"total_tokens":5})";

class ResponseAnswer : public ::testing::Test {
 protected:
  ResponseAnswer() {
    details_->echo_json = R"("background":false)";
    details_->text_tools = {"patch"};
    details_->input = json::array{json::object{{"type", "message"}}};
    details_->previous_id = "resp_0";
  }

  ResponseAnswerEncoder encoder() {
    return ResponseAnswerEncoder({.info = {.id = "R", .created = 7, .model = "m", .fingerprint = {}},
                                  .details = details_,
                                  .keep =
                                      [this](std::string id, const std::function<StoredResponse()>& write) {
                                        kept_.push_back(write());
                                        EXPECT_EQ(kept_.back().id, id);
                                      },
                                  .clock = &clock_});
  }

  std::string whole(std::vector<AnswerPiece> pieces, FinishReason finish = FinishReason::kStop,
                    std::vector<TokenText> logprobs = {}) {
    const Choice choice{.pieces = std::move(pieces), .logprobs = std::move(logprobs), .finish = finish};
    return encoder().whole({&choice, 1}, kUsage);
  }

  std::string stream(const std::vector<AnswerPiece>& pieces, FinishReason finish = FinishReason::kStop) {
    ResponseAnswerEncoder answer = encoder();
    std::string out;
    answer.begin(out);
    for (const AnswerPiece& piece : pieces) {
      TextEvent event;
      event.pieces = {piece};
      answer.event(out, 0, event, {});
    }
    TextEvent last;
    last.finish = finish;
    answer.event(out, 0, last, {});
    answer.end(out, kUsage);
    return out;
  }

  static std::string response(std::string_view status, std::string_view output,
                              std::string_view usage = kUsageJson) {
    const std::string done = status == "completed" ? "3600" : "null";
    const std::string why = status == "incomplete" ? R"({"reason":"max_output_tokens"})" : "null";
    return R"({"id":"resp_R","object":"response","created_at":7,"status":")" + std::string(status) +
           R"(","completed_at":)" + done + R"(,"error":null,"incomplete_details":)" + why +
           R"(,"model":"m","output":[)" + std::string(output) + R"(],"usage":)" + std::string(usage) +
           R"(,"store":true,"background":false})";
  }

  /// Each event's data, checked for its frame and number.
  static std::vector<json::object> events(const std::string& stream) {
    std::vector<json::object> all;
    std::size_t at = 0;
    while (at < stream.size()) {
      const std::size_t end = stream.find("\n\n", at);
      const std::string frame = stream.substr(at, end - at);
      const std::size_t data = frame.find("\ndata: ");
      json::object object = json::parse(frame.substr(data + 7)).as_object();
      EXPECT_EQ(frame.substr(0, data), "event: " + std::string(object.at("type").as_string()));
      EXPECT_EQ(object.at("sequence_number"), static_cast<std::int64_t>(all.size()));
      all.push_back(std::move(object));
      at = end + 2;
    }
    return all;
  }
  static std::vector<std::string> types(const std::vector<json::object>& events) {
    std::vector<std::string> names;
    for (const json::object& event : events) {
      std::string name(event.at("type").as_string());
      names.push_back(name.substr(name.find('.') + 1));
    }
    return names;
  }

  FakeClock clock_;
  std::shared_ptr<ResponseDetails> details_ = std::make_shared<ResponseDetails>();
  std::vector<StoredResponse> kept_;
};

constexpr std::string_view kTextItem =
    R"({"id":"msg_R_0","type":"message","role":"assistant","content":[{"type":"output_text","annotations":[],)"
    R"("logprobs":[],"text":"Hé\n"}],"status":"completed"})";

TEST_F(ResponseAnswer, is_one_object_with_its_items) {
  EXPECT_EQ(whole({{.text = "Hé\n"}}), response("completed", kTextItem));
  ASSERT_EQ(kept_.size(), 1U);
  EXPECT_EQ(kept_[0].id, "resp_R");
  EXPECT_EQ(kept_[0].previous_id, "resp_0");
  EXPECT_EQ(kept_[0].response_json, response("completed", kTextItem));
  EXPECT_EQ(kept_[0].input_json, R"([{"type": "message", "status": "completed", "id": "msg_R_in0"}])");
  details_->store = false;
  EXPECT_THAT(whole({}), ::testing::HasSubstr(R"("store":false)"));
  EXPECT_EQ(kept_.size(), 1U);
}

TEST_F(ResponseAnswer, streams_a_text_as_openai_does) {
  const std::string out = stream({{.text = "Hé"}, {.text = "\n"}});
  const std::string created = response("in_progress", "", "null");
  const std::string place = R"("item_id":"msg_R_0","output_index":0,"content_index":0)";
  const auto event = [](std::string_view type, int number, const std::string& rest) {
    return "event: " + std::string(type) + "\ndata: {\"type\":\"" + std::string(type) +
           R"(","sequence_number":)" + std::to_string(number) + "," + rest + "}\n\n";
  };
  EXPECT_EQ(
      out,
      event("response.created", 0, R"("response":)" + created) +
          event("response.in_progress", 1, R"("response":)" + created) +
          event(
              "response.output_item.added", 2,
              R"("output_index":0,"item":{"id":"msg_R_0","type":"message","role":"assistant","content":[],"status":"in_progress"})") +
          event("response.content_part.added", 3,
                place + R"(,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""})") +
          event("response.output_text.delta", 4, place + R"(,"delta":"Hé","logprobs":[])") +
          event("response.output_text.delta", 5, place + R"(,"delta":"\n","logprobs":[])") +
          event("response.output_text.done", 6, place + R"(,"text":"Hé\n","logprobs":[])") +
          event("response.content_part.done", 7,
                place + R"(,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":"Hé\n"})") +
          event("response.output_item.done", 8, R"("output_index":0,"item":)" + std::string(kTextItem)) +
          event("response.completed", 9, R"("response":)" + response("completed", kTextItem)));
}

std::vector<AnswerPiece> all_kinds() {
  return {{.kind = Kind::kReasoning, .text = "hm"},
          {.text = "I call."},
          {.kind = Kind::kCallBegin, .call_id = "call_1", .name = "f"},
          {.kind = Kind::kCallArguments, .text = "{\"a\":"},
          {.kind = Kind::kCallArguments, .text = "1}"},
          {.kind = Kind::kCallEnd},
          {.kind = Kind::kCallBegin, .call = 1, .call_id = "call_2", .name = "patch"},
          {.kind = Kind::kCallArguments, .text = "{\"input\": \"x\\"},
          {.kind = Kind::kCallArguments, .text = "ny\"}"},
          {.kind = Kind::kCallEnd}};
}

TEST_F(ResponseAnswer, streams_reasoning_calls_and_texts_for_tools_as_items_of_their_own) {
  const std::vector<json::object> all = events(stream(all_kinds(), FinishReason::kToolCalls));
  EXPECT_THAT(
      types(all),
      ElementsAre("created", "in_progress",  //
                  "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.done",
                  "content_part.done", "output_item.done",  //
                  "output_item.added", "content_part.added", "output_text.delta", "output_text.done",
                  "content_part.done", "output_item.done",  //
                  "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta",
                  "function_call_arguments.done", "output_item.done",  //
                  "output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.delta",
                  "custom_tool_call_input.done", "output_item.done",  //
                  "completed"));
  const json::array& output = all.back().at("response").at("output").as_array();
  ASSERT_EQ(output.size(), 4U);
  EXPECT_EQ(
      json::serialize(output[0]),
      R"({"id":"rs_R_0","type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}],"status":"completed"})");
  EXPECT_EQ(
      json::serialize(output[2]),
      R"({"id":"fc_R_2","type":"function_call","call_id":"call_1","name":"f","arguments":"{\"a\":1}","status":"completed"})");
  EXPECT_EQ(
      json::serialize(output[3]),
      R"({"id":"ctc_R_3","type":"custom_tool_call","call_id":"call_2","name":"patch","input":"x\ny","status":"completed"})");
  EXPECT_EQ(json::parse(whole(all_kinds(), FinishReason::kToolCalls)), all.back().at("response"));
}

TEST_F(ResponseAnswer, gives_reasoning_as_the_summary_that_was_asked_for) {
  details_->summary = true;
  details_->encrypted_reasoning = true;
  const std::vector<json::object> all =
      events(stream({{.kind = Kind::kReasoning, .text = "hm"}, {.text = "x"}}));
  EXPECT_EQ(types(all)[3], "reasoning_summary_part.added");
  EXPECT_EQ(types(all)[4], "reasoning_summary_text.delta");
  EXPECT_EQ(all[4].at("summary_index"), 0);
  EXPECT_EQ(types(all)[5], "reasoning_summary_text.done");
  EXPECT_EQ(types(all)[6], "reasoning_summary_part.done");
  EXPECT_EQ(
      json::serialize(all[7].at("item")),
      R"({"id":"rs_R_0","type":"reasoning","summary":[{"type":"summary_text","text":"hm"}],"content":[],"encrypted_content":"mlxd:hm","status":"completed"})");
}

TEST_F(ResponseAnswer, that_ends_at_its_limit_is_incomplete) {
  const std::vector<AnswerPiece> pieces = {{.kind = Kind::kCallBegin, .call_id = "call_1", .name = "f"},
                                           {.kind = Kind::kCallArguments, .text = "{\"a\""},
                                           {.kind = Kind::kCallCut}};
  const std::vector<json::object> all = events(stream(pieces, FinishReason::kLength));
  EXPECT_EQ(types(all).back(), "incomplete");
  const json::value& response = all.back().at("response");
  EXPECT_EQ(response.at("status"), "incomplete");
  EXPECT_EQ(response.at_pointer("/incomplete_details/reason"), "max_output_tokens");
  EXPECT_EQ(response.at_pointer("/output/0/status"), "incomplete");
  EXPECT_EQ(response.at_pointer("/output/0/arguments"), "{\"a\"");
  EXPECT_EQ(response.at("output").as_array().size(), 1U);
  EXPECT_EQ(json::parse(whole(pieces, FinishReason::kLength)), response);
}

TEST_F(ResponseAnswer, tells_what_was_no_call_as_text) {
  const std::vector<AnswerPiece> pieces = {{.kind = Kind::kCallBegin, .call_id = "call_1", .name = "f"},
                                           {.kind = Kind::kCallArguments, .text = "{\"a\""},
                                           {.kind = Kind::kCallBroken, .text = "<tool_call>f{\"a\""}};
  const std::vector<json::object> all = events(stream(pieces, FinishReason::kStop));
  const json::value& response = all.back().at("response");
  EXPECT_EQ(response.at_pointer("/output/0/status"), "incomplete");
  EXPECT_EQ(response.at_pointer("/output/1/content/0/text"), "<tool_call>f{\"a\"");
  EXPECT_EQ(json::parse(whole(pieces, FinishReason::kStop)), response);
}

TEST_F(ResponseAnswer, of_nothing_is_an_empty_text) {
  const json::value nothing = json::parse(whole({}));
  EXPECT_EQ(nothing.at_pointer("/output/0/content/0/text"), "");
}

TEST_F(ResponseAnswer, tells_of_a_failure_in_the_middle) {
  ResponseAnswerEncoder answer = encoder();
  std::string out;
  answer.begin(out);
  TextEvent event;
  event.pieces = {{.text = "Hal"}};
  answer.event(out, 0, event, {});
  answer.fail(out, Error(ErrorKind::kTimeout, "took too long"));
  const std::vector<json::object> all = events(out);
  const json::object& error = all[all.size() - 2];
  EXPECT_EQ(error.at("type"), "error");
  EXPECT_EQ(error.at("message"), "took too long");
  EXPECT_EQ(all.back().at("type"), "response.failed");
  EXPECT_EQ(all.back().at("response").at("status"), "failed");
  EXPECT_EQ(all.back().at("response").at_pointer("/error/code"), "server_error");
  EXPECT_EQ(all.back().at("response").at_pointer("/output/0/status"), "incomplete");
  EXPECT_TRUE(kept_.empty());
}

TokenText token(std::string bytes) {
  TokenText text;
  text.bytes = std::move(bytes);
  text.logprob = -0.5F;
  return text;
}

TEST_F(ResponseAnswer, has_log_probabilities_of_its_text_alone) {
  details_->logprobs = true;
  const json::value answer =
      json::parse(whole({{.kind = Kind::kReasoning, .text = "a b"}, {.text = "xy"}}, FinishReason::kStop,
                        {token("a"), token(" b"), token("</think>"), token("x"), token("y")}));
  const json::array& tokens = answer.at_pointer("/output/1/content/0/logprobs").as_array();
  ASSERT_EQ(tokens.size(), 2U);
  EXPECT_EQ(json::serialize(tokens[0]), R"({"token":"x","logprob":-5E-1,"bytes":[120],"top_logprobs":[]})");
}

}  // namespace
}  // namespace mlxd::api::openai
