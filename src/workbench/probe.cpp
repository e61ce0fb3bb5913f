#include "workbench/probe.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <random>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "runtime/free_memory.h"
#include "runtime/text_stream.h"
#include "text/answer_constraint.h"
#include "text/answer_grammar.h"
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"
#include "workbench/bench.h"

namespace mlxd {
namespace {

namespace json = boost::json;
using Kind = AnswerPiece::Kind;

constexpr std::int32_t kFirstTrial = 256;
constexpr std::int32_t kShortAnswer = 160;  // tokens
constexpr std::int32_t kLongAnswer = 512;   // of one that may think first
constexpr double kContextShare = 0.75;      // of free memory that K/V may take
constexpr std::string_view kSchema =
    R"({"type":"object","properties":{"city":{"type":"string","minLength":1,"maxLength":24},"population":)"
    R"({"type":"integer","minimum":0,"maximum":99999999}},"required":["city","population"],)"
    R"("additionalProperties":false})";

Tool weather_tool() {
  const std::string parameters =
      R"({"type":"object","properties":{"city":{"type":"string","minLength":1,"maxLength":24}},)"
      R"("required":["city"],"additionalProperties":false})";
  return {.name = "get_weather",
          .declaration_json = R"({"type":"function","function":{"name":"get_weather","description":)"
                              R"("Current weather of a city","parameters":)" +
                              parameters + "}}",
          .parameters_json = parameters};
}

BenchPlan speed_plan(std::int32_t context_tokens) {
  BenchPlan plan;
  plan.prompt_tokens = std::min(256, context_tokens / 4);
  plan.tokens = std::min(32, context_tokens / 4);
  plan.concurrency = {1, 4};
  plan.rounds = 1;
  return plan;
}

struct Answer {
  std::vector<AnswerPiece> pieces;
  std::string raw;  // special tokens too
  FinishReason finish = FinishReason::kLength;

  std::string joined(Kind kind) const {
    std::string text;
    for (const AnswerPiece& piece : pieces) text += piece.kind == kind ? piece.text : "";
    return text;
  }
  bool has(Kind kind) const {
    return std::any_of(pieces.begin(), pieces.end(),
                       [kind](const AnswerPiece& piece) { return piece.kind == kind; });
  }
};

/// What an answer has to be; one of the two at most.
struct Wish {
  bool must_call = false;
  std::string_view schema{};
};

class Probe {
 public:
  Probe(const ModelHost& model, const ProbeOptions& options) : model_(model), options_(options) {}

  Result<ProbeReport> run() {
    describe();
    TRY(step("context", [this] { return try_context(); }));
    if (model_.chat_format() != nullptr) {
      TRY(step("ending", [this] { return try_ending(); }));
      TRY(step("reasoning", [this] { return try_reasoning(); }));
      TRY(step("tools", [this] { return try_tools(); }));
      TRY(step("structure", [this] { return try_structure(); }));
      TRY(step("switches", [this] { return try_switches(); }));
    } else {
      report_.remarks.emplace_back(
          "The folder has no chat template, so that nothing of a chat could be tried.");
    }
    TRY(step("speed", [this] { return try_speed(); }));
    return std::move(report_);
  }

 private:
  template <typename Function>
  Result<void> step(const std::string& name, Function&& function) {
    if (stopped()) return Error(ErrorKind::kCancelled, "stopped");
    if (options_.on_step) options_.on_step(name, "");
    Result<std::string> outcome = function();
    if (!outcome.ok()) {
      const Error& error = outcome.error();
      if (error.kind == ErrorKind::kCancelled || error.kind == ErrorKind::kUnavailable) return error;
      report_.remarks.push_back("The experiment on " + name + " failed: " + error.message + ".");
      outcome = "failed: " + error.message;
    }
    if (options_.on_step) options_.on_step(name, outcome.value());
    return {};
  }

  bool stopped() const { return options_.stopped && options_.stopped(); }

  void describe() {
    const BackendInfo& info = model_.engine().backend_info();
    report_.model = model_.name();
    report_.backend = info.name;
    report_.load_seconds = model_.load_seconds();
    report_.weight_bytes = model_.engine().backend_memory().weight_bytes;
    report_.kv_bytes_per_token = info.page_bytes() / kPageTokens;
    const ChatFormat* const format = model_.chat_format();
    report_.has_template = format != nullptr;
    for (const TokenId token : model_.eos_tokens())
      report_.end_tokens.push_back(model_.tokenizer().token_name(token));
    if (format == nullptr) return;
    report_.family = format->family().name;
    for (const TokenId token : format->end_tokens(model_.tokenizer())) {
      std::string name = model_.tokenizer().token_name(token);
      if (std::find(report_.end_tokens.begin(), report_.end_tokens.end(), name) == report_.end_tokens.end())
        report_.end_tokens.push_back(std::move(name));
    }
  }

  Result<GenerationStream> submit(GenerationRequest::Fields fields) const {
    return model_.engine().submit(TRY(GenerationRequest::create(std::move(fields), model_.limits())),
                                  nullptr);
  }

  /// All of a stream's tokens. Errors: the request's; kCancelled.
  Result<std::vector<TokenEvent>> wait_for(GenerationStream stream) const {
    std::vector<TokenEvent> events;
    while (stream.take_events(events)) {
      if (stopped()) return Error(ErrorKind::kCancelled, "stopped");
      stream.wait(std::chrono::milliseconds(200));
    }
    for (const TokenEvent& event : events)
      if (event.error) return *event.error;
    return events;
  }

  Result<Answer> ask(const Conversation& conversation, std::int32_t max_tokens, const Wish& wish) const {
    const Tokenizer& tokenizer = model_.tokenizer();
    const ChatFormat::Prompt prompt = TRY(model_.chat_format()->write(conversation));
    GenerationRequest::Fields fields;
    fields.prompt = TRY(tokenizer.encode(prompt.text, false));
    fields.sampling.temperature = 0.0F;
    fields.sampling.seed = 1;
    fields.max_tokens = max_tokens;
    fields.stop_tokens = model_.eos_tokens();
    for (const TokenId token : model_.chat_format()->end_tokens(tokenizer))
      fields.stop_tokens.push_back(token);
    TextStream text(tokenizer,
                    {.stop_tokens = fields.stop_tokens,
                     .parser = dialects::OutputParser(prompt.format, conversation.tools, prompt.start)});
    fields.constraint = TRY(make_constraint(conversation, prompt, wish, fields.stop_tokens));
    std::vector<TokenEvent> events = TRY(wait_for(TRY(submit(std::move(fields)))));
    Answer answer;
    std::vector<TokenId> tokens;
    for (const TokenEvent& event : events) {
      if (event.token != kNoToken) tokens.push_back(event.token);
      if (event.finish) answer.finish = *event.finish;
    }
    answer.raw = TRY(tokenizer.decode(tokens, false));
    if (auto told = text.push(std::move(events))) answer.pieces = std::move(told->pieces);
    return answer;
  }

  Result<std::shared_ptr<TokenConstraint>> make_constraint(const Conversation& conversation,
                                                           const ChatFormat::Prompt& prompt, const Wish& wish,
                                                           const std::vector<TokenId>& end_tokens) const {
    if (!wish.must_call && wish.schema.empty()) return std::shared_ptr<TokenConstraint>();
    const Grammar content{GrammarKind::kJsonSchema, std::string(wish.schema)};
    const AnswerWish form{.content = wish.schema.empty() ? nullptr : &content,
                          .tools = conversation.tools,
                          .must_call = wish.must_call,
                          .max_calls = 1};
    const auto grammar = TRY(answer_grammar(form, prompt.format, model_.tokenizer()));
    if (!grammar) return std::shared_ptr<TokenConstraint>();
    return std::shared_ptr<TokenConstraint>(
        TRY(AnswerConstraint::create({.tokenizer = &model_.tokenizer(),
                                      .vocab_size = model_.limits().vocab_size,
                                      .end_tokens = end_tokens,
                                      .reasoning = prompt.format.reasoning,
                                      .start = prompt.start,
                                      .grammar = TRY(model_.grammars().compile(*grammar))})));
  }

  // Random tokens, so that nothing is found in the cache.
  Result<std::string> try_context() {
    ProbeReport::Context& context = report_.context;
    context.model_tokens = model_.spec().context_tokens;
    const auto free = static_cast<double>(free_memory_bytes());
    if (report_.kv_bytes_per_token > 0)
      context.fitting_tokens = std::min<std::int64_t>(
          context.model_tokens,
          static_cast<std::int64_t>(free * kContextShare / static_cast<double>(report_.kv_bytes_per_token)));
    const std::int32_t most = model_.limits().context_tokens - 1;
    std::mt19937_64 random(7);
    std::uniform_int_distribution<TokenId> any(0, model_.tokenizer().vocab_size() - 1);
    double last = 0.0;
    for (std::int32_t tokens = std::min(kFirstTrial, most); last < options_.context_seconds / 4;
         tokens = std::min(tokens * 2, most)) {
      GenerationRequest::Fields fields;
      fields.prompt.resize(static_cast<std::size_t>(tokens));
      for (TokenId& token : fields.prompt) token = any(random);
      fields.sampling.temperature = 0.0F;
      fields.max_tokens = 1;
      const TimePoint started = Clock::real().now();
      TRY(wait_for(TRY(submit(std::move(fields)))));
      last = std::chrono::duration<double>(Clock::real().now() - started).count();
      context.trials.push_back({tokens, tokens / std::max(last, 1e-9)});
      if (tokens == most) break;
    }
    return std::to_string(context.fitting_tokens) + " tokens fit, " +
           std::to_string(context.trials.back().tokens) + " tried";
  }

  Result<std::string> try_ending() {
    const Answer answer = TRY(ask({.messages = {{.content = "Say hello."}}}, kLongAnswer, {}));
    report_.ends_by_itself = answer.finish == FinishReason::kStop;
    if (!*report_.ends_by_itself)
      report_.remarks.push_back("The answer to \"Say hello.\" did not end within " +
                                std::to_string(kLongAnswer) +
                                " tokens: an end token may be missing, or the model is no chat model.");
    return std::string(*report_.ends_by_itself ? "by itself" : "not by itself");
  }

  Result<std::string> try_reasoning() {
    ProbeReport::Reasoning& found = report_.reasoning;
    const dialects::OutputFormat& format = model_.chat_format()->family().format;
    found.open = format.reasoning.open;
    found.close = format.reasoning.close;
    found.has_channels = format.is_harmony;
    Conversation question{.messages = {{.content = "What is 17 + 25? Think it over."}}};
    const Answer answer = TRY(ask(question, kLongAnswer, {}));
    found.by_itself = answer.has(Kind::kReasoning);
    if (!*found.by_itself) {
      for (const Family* const family : families::kFamilies) {
        const std::string_view open = family->format.reasoning.open;
        if (!open.empty() && open != found.open && answer.raw.find(open) != std::string::npos)
          found.foreign_marker = open;
      }
    }
    question.reasoning_effort = "none";
    if (const auto plain = ask(question, kShortAnswer, {}); plain.ok())
      found.when_off = plain.value().has(Kind::kReasoning);
    else if (plain.error().kind == ErrorKind::kCancelled)
      return plain.error();
    if (!found.foreign_marker.empty())
      report_.remarks.push_back("The answer has the marker " + found.foreign_marker + ", which family \"" +
                                report_.family + "\" does not use: the family may be wrong.");
    return std::string(*found.by_itself ? "reasons" : "does not reason");
  }

  Result<std::string> try_tools() {
    ProbeReport::Tools& found = report_.tools;
    const dialects::OutputFormat& format = model_.chat_format()->family().format;
    if (format.tools != nullptr) found.dialect = format.tools->name;
    if (format.is_harmony) found.dialect = "harmony";
    found.in_template = model_.chat_format()->traits().offers_tools;
    Conversation question{.messages = {{.content = "What is the weather in Oslo? Use the tool."}},
                          .tools = {weather_tool()}};
    const Answer answer = TRY(ask(question, kLongAnswer, {}));
    found.called = answer.has(Kind::kCallEnd);
    if (!*found.called) find_foreign_call(answer, question.tools);
    question.must_call = true;
    const Answer forced = TRY(ask(question, kLongAnswer, {.must_call = true}));
    found.held_to_call =
        forced.has(Kind::kCallEnd) && is_object_with(forced.joined(Kind::kCallArguments), "city");
    if (!*found.held_to_call)
      report_.remarks.emplace_back(
          "A call that had to come did not come as it should: this is a fault of mlxd.");
    if (!found.foreign_dialect.empty())
      report_.remarks.push_back("The answer has a call as dialect \"" + found.foreign_dialect +
                                "\" writes them, not \"" + found.dialect + "\": the family may be wrong.");
    return std::string(*found.called ? "calls by itself" : "calls only when it must");
  }

  void find_foreign_call(const Answer& answer, const std::vector<Tool>& tools) {
    for (const dialects::ToolDialect* const dialect : dialects::kToolDialects) {
      if (dialect->name == report_.tools.dialect) continue;
      dialects::OutputFormat format = model_.chat_format()->family().format;
      format.tools = dialect;
      format.is_harmony = false;
      dialects::OutputParser parser(format, tools, dialects::OutputParser::Start::kContent);
      parser.push(answer.raw);
      parser.finish();
      if (parser.num_complete_calls() == 0) continue;
      report_.tools.foreign_dialect = dialect->name;
      return;
    }
  }

  static bool is_object_with(const std::string& text, std::string_view key) {
    boost::system::error_code error;
    const json::value value = json::parse(text, error);
    return !error && value.is_object() && value.as_object().contains(key);
  }

  Result<std::string> try_structure() {
    const Answer answer = TRY(ask({.messages = {{.content = "Name a city and how many people live there."}}},
                                  kLongAnswer, {.schema = kSchema}));
    const std::string content = answer.joined(Kind::kContent);
    report_.keeps_to_schema = is_object_with(content, "city") && is_object_with(content, "population");
    if (!*report_.keeps_to_schema)
      report_.remarks.push_back("An answer held to a schema is not of it (" + content.substr(0, 80) +
                                "): it thought beyond " + std::to_string(kLongAnswer) +
                                " tokens, or this is a fault of mlxd.");
    return std::string(*report_.keeps_to_schema ? "keeps to a schema" : "does not keep to a schema");
  }

  Result<std::string> try_switches() {
    const Conversation question{.messages = {{.role = Role::kSystem, .content = "Be brief."},
                                             {.content = "Hello."},
                                             {.role = Role::kAssistant, .content = "Hi."},
                                             {.content = "How are you?"}}};
    for (const TemplateSwitch& known : model_.chat_format()->traits().switches) {
      ProbeReport::Switch& found =
          report_.switches.emplace_back(ProbeReport::Switch{known.name, known.default_json, {}});
      if (known.default_json != "true" && known.default_json != "false") continue;
      const auto with = [&](const std::string& value) {
        Conversation asked = question;
        asked.template_variables_json = "{\"" + known.name + "\":" + value + "}";
        return model_.chat_format()->write(asked);
      };
      const auto on = with("true");
      const auto off = with("false");
      if (on.ok() && off.ok()) found.changes_prompt = on.value().text != off.value().text;
    }
    return std::to_string(report_.switches.size()) + " found";
  }

  Result<std::string> try_speed() {
    const BenchPlan plan = speed_plan(model_.limits().context_tokens);
    for (const BenchResult& result : TRY(run_bench(model_, plan, {})))
      report_.speed.push_back({result.concurrency, result.prefill_tokens_per_s, result.decode_tokens_per_s});
    return std::to_string(std::lround(report_.speed.front().decode_tokens_per_s)) + " tokens/s alone";
  }

  const ModelHost& model_;
  const ProbeOptions& options_;
  ProbeReport report_;
};

void compare(std::vector<std::string>& out, const std::string& what, const std::string& before,
             const std::string& now) {
  if (before == now) return;
  const auto shown = [](const std::string& value) { return value.empty() ? std::string("none") : value; };
  out.push_back(what + " was " + shown(before) + " and is " + shown(now) + " now.");
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string names_of(const std::vector<ProbeReport::Switch>& switches) {
  std::vector<std::string> names;
  for (const auto& entry : switches) names.push_back(entry.name);
  return joined(names);
}

std::string word(const std::optional<bool>& value) { return value ? (*value ? "yes" : "no") : ""; }

}  // namespace

Result<ProbeReport> probe_model(const ModelHost& model, const ProbeOptions& options) {
  return Probe(model, options).run();
}

std::int64_t kv_tokens_to_probe(std::int32_t context_tokens) {
  return std::max<std::int64_t>(context_tokens, kv_tokens_needed(speed_plan(context_tokens)));
}

std::vector<std::string> compare_probes(const ProbeReport& before, const ProbeReport& now) {
  std::vector<std::string> out;
  compare(out, "The family", before.family, now.family);
  compare(out, "The context", std::to_string(before.context.model_tokens),
          std::to_string(now.context.model_tokens));
  compare(out, "The list of end tokens", joined(before.end_tokens), joined(now.end_tokens));
  compare(out, "The reasoning marker", before.reasoning.open, now.reasoning.open);
  compare(out, "The tool dialect", before.tools.dialect, now.tools.dialect);
  compare(out, "The list of switches", names_of(before.switches), names_of(now.switches));
  compare(out, "\"Ends by itself\"", word(before.ends_by_itself), word(now.ends_by_itself));
  compare(out, "\"Reasons by itself\"", word(before.reasoning.by_itself), word(now.reasoning.by_itself));
  compare(out, "\"Calls tools by itself\"", word(before.tools.called), word(now.tools.called));
  return out;
}

}  // namespace mlxd
