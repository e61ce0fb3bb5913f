// Jobs through HTTP with tiny real models: files in, models and figures out.
#include "server/job_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <fstream>
#include <map>

#include "model/model_folder.h"
#include "model/testing/gguf_builder.h"
#include "server/api_server.h"
#include "server/testing/manage_client.h"
#include "server/testing/scripted_model.h"
#include "workbench/perplexity.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using ::testing::HasSubstr;
using testing::ManageCaller;
using testing::ManageReply;

class JobRoutesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::SyntheticModelOptions dense;
    dense.bits = 0;
    ASSERT_TRUE(testing::write_synthetic_model(models() / "tiny", dense).ok());
    testing::make_tiny_gguf(GgufType::kQ4_1).builder.write(gguf());
    start();
  }
  void TearDown() override { server_.reset(); }

  void start(PoolSettings pool = {}) {
    server_.reset();
    fs::create_directories(folder_.path() / "state");
    ApiServer::Options options;
    options.pool = testing::scripted_pool(
        [](const auto&) -> Result<ServedModelPtr> { return not_found("no such model"); }, pool);
    options.models_folder = models();
    options.hub_cache = folder_.path() / "hub";
    options.runs_jobs = true;
    options.job_host.threads = 1;
    options.management =
        Management::open({.state_folder = folder_.path() / "state", .owner_token = "owner"}).take_value();
    server_ = ApiServer::start(std::move(options)).take_value();
    server_->set_ready();
  }
  // Not the first account, which administers.
  ManageCaller make_user(const std::string& name) const {
    owner().call("POST", "/api/v1/users", R"({"email":"admin@x.org","password":"long enough"})");
    const std::string account = R"({"email":")" + name + R"(@x.org","password":"long enough")";
    EXPECT_EQ(owner().call("POST", "/api/v1/users", account + R"(,"role":"user"})").status, 201);
    const ManageReply login =
        ManageCaller(port()).call("POST", "/api/v1/auth/login", account + R"(,"cookie":false})");
    EXPECT_EQ(login.status, 200) << login.raw;
    return ManageCaller::bearer(port(), login.at("/token"));
  }

  std::uint16_t port() const { return server_->http().port(); }
  ManageCaller owner() const { return ManageCaller::bearer(port(), "owner"); }
  fs::path models() const { return folder_.path() / "models"; }
  fs::path gguf() const { return folder_.path() / "little.gguf"; }

  static ManageReply ask(const ManageCaller& who, const std::string& kind, const json::object& parameters) {
    return who.call("POST", "/api/v1/jobs",
                    json::serialize(json::object{{"kind", kind}, {"parameters", parameters}}));
  }
  std::string begin(const std::string& kind, const json::object& parameters) const {
    const ManageReply begun = ask(owner(), kind, parameters);
    EXPECT_EQ(begun.status, 202) << begun.raw;
    EXPECT_EQ(begun.header("location"), "/api/v1/jobs/" + begun.at("/id"));
    return begun.at("/id");
  }
  ManageReply show(const std::string& id) const { return owner().get("/api/v1/jobs/" + id); }
  ManageReply wait_for_end(const std::string& id) const {
    for (;;) {
      ManageReply job = show(id);
      const std::string state = job.at("/state");
      if (state != "queued" && state != "running") return job;
    }
  }
  ManageReply wait_for_step(const std::string& id, const std::string& step) const {
    for (;;) {
      ManageReply job = show(id);
      const std::string state = job.at("/state");
      if (job.at("/step") == step || (state != "queued" && state != "running")) return job;
    }
  }
  void refuses(const ManageReply& reply, int status, const std::string& field, const std::string& message) {
    EXPECT_EQ(reply.status, status) << reply.raw;
    EXPECT_EQ(reply.at("/field"), field) << reply.raw;
    EXPECT_THAT(reply.at("/detail"), HasSubstr(message));
  }
  std::string files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(models()))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    std::string all;
    for (const std::string& name : names) all += (all.empty() ? "" : " ") + name;
    return all;
  }
  // Takes long, and stops when told to.
  static json::object long_bench() {
    return {
        {"model", "tiny"}, {"prompt_tokens", 16}, {"tokens", 400}, {"rounds", 100}, {"concurrency", {64}}};
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<ApiServer> server_;
};

TEST_F(JobRoutesTest, imports_a_gguf_that_is_in_the_list_of_models_when_the_job_is_done) {
  const std::string id = begin("import", {{"file", gguf().string()}, {"name", "imported"}});
  const ManageReply job = wait_for_end(id);
  ASSERT_EQ(job.at("/state"), "done") << job.raw;
  EXPECT_EQ(owner().get("/api/v1/models/imported").status, 200);
  EXPECT_THAT(owner().get("/v1/models").raw, HasSubstr("\"imported\""));
  EXPECT_TRUE(ModelFolder::open(models() / "imported").ok());
  EXPECT_EQ(files(), "imported tiny");
  EXPECT_EQ(job.at("/result/model"), "imported");
  EXPECT_EQ(job.at("/progress"), json::serialize(json::value(1.0)));
  EXPECT_EQ(job.at("/error"), "null");
  EXPECT_EQ(job.at("/parameters/file"), gguf().string());
  const ManageReply log = owner().get("/api/v1/jobs/" + id + "/log");
  EXPECT_EQ(log.at("/next"), job.at("/log_lines"));
  EXPECT_THAT(log.raw, HasSubstr("tensors of type Q4_1"));
  const ManageReply rest = owner().get("/api/v1/jobs/" + id + "/log?from=" + log.at("/next"));
  EXPECT_EQ(rest.at("/lines"), "[]");

  EXPECT_EQ(owner().call("DELETE", "/api/v1/jobs/" + id).status, 204);
  EXPECT_EQ(show(id).status, 404);
  EXPECT_EQ(files(), "imported tiny");
}

TEST_F(JobRoutesTest, imports_what_was_downloaded_by_its_name_on_the_hub) {
  const fs::path repository = folder_.path() / "hub" / "models--org--some";
  const std::string commit(40, 'a');
  fs::create_directories(repository / "snapshots" / commit);
  fs::create_directories(repository / "refs");
  std::ofstream(repository / "refs" / "main") << commit;
  fs::copy_file(gguf(), repository / "snapshots" / commit / "some-Q4.gguf");
  const ManageReply job = wait_for_end(begin("import", {{"file", "org/some/some-Q4.gguf"}}));
  EXPECT_EQ(job.at("/state"), "done") << job.raw;
  EXPECT_EQ(files(), "some-Q4 tiny");
  refuses(ask(owner(), "import", {{"file", "org/some/other.gguf"}}), 404, "parameters.file",
          "download it first");
  refuses(ask(owner(), "import", {{"file", "org/some/../../refs/main"}}), 400, "parameters.file",
          "is no file of a download");
  refuses(ask(owner(), "import", {{"file", "some.gguf"}}), 400, "parameters.file", "ORG/NAME/FILE.gguf");
}

TEST_F(JobRoutesTest, converts_a_model) {
  const std::string id =
      begin("convert", {{"model", "tiny"}, {"name", "tiny-8bit"}, {"bits", 8}, {"group", 32}});
  const ManageReply job = wait_for_end(id);
  ASSERT_EQ(job.at("/state"), "done") << job.raw;
  EXPECT_EQ(job.at("/result/model"), "tiny-8bit");
  EXPECT_EQ(job.at("/result/layers_quantized"), "15");
  const ModelFolder made = ModelFolder::open(models() / "tiny-8bit").take_value();
  EXPECT_EQ(made.spec().layers[0].mlp->down_proj.quantization.bits, 8);
  EXPECT_EQ(owner().get("/api/v1/models/tiny-8bit").status, 200);
  EXPECT_EQ(files(), "tiny tiny-8bit");
}

TEST_F(JobRoutesTest, measures_perplexity_as_the_command_line_does) {
  std::string text;
  for (int i = 0; i < 900; ++i) text += static_cast<char>('a' + (i * i) % 26);
  const ManageReply job = wait_for_end(
      begin("perplexity", {{"model", "tiny"}, {"text", text}, {"context", 256}, {"stride", 100}}));
  ASSERT_EQ(job.at("/state"), "done") << job.raw;
  std::ofstream(folder_.path() / "text.txt") << text;
  PerplexityOptions options{.context_tokens = 256, .stride_tokens = 100};
  const auto report = measure_perplexity(models() / "tiny", folder_.path() / "text.txt", options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(job.body.at("result").at("perplexity").to_number<double>(), report->perplexity);
  EXPECT_EQ(job.at("/result/scored_tokens"), std::to_string(report->scored_tokens));
  // A list of jobs is no place for texts.
  EXPECT_EQ(job.at("/parameters/text"), "(absent)");
  const ManageReply by_file =
      wait_for_end(begin("perplexity", {{"model", (models() / "tiny").string()},
                                        {"file", (folder_.path() / "text.txt").string()},
                                        {"context", 256},
                                        {"stride", 100}}));
  EXPECT_EQ(by_file.at("/result/perplexity"), job.at("/result/perplexity")) << by_file.raw;
  EXPECT_EQ(owner().get("/api/v1/servers").at("/budget/job_bytes"), "0");
}

TEST_F(JobRoutesTest, measures_speed_and_writes_each_round_down) {
  const std::string id = begin(
      "bench",
      {{"model", "tiny"}, {"prompt_tokens", 16}, {"tokens", 8}, {"rounds", 2}, {"concurrency", {1, 2}}});
  const ManageReply job = wait_for_end(id);
  ASSERT_EQ(job.at("/state"), "done") << job.raw;
  EXPECT_GT(job.body.at("result").at("decode_tokens_per_s").to_number<double>(), 0.0);
  EXPECT_EQ(job.body.at("result").at("results").as_array().size(), 2U);
  EXPECT_EQ(job.at("/log_lines"), "4");
  EXPECT_THAT(owner().get("/api/v1/jobs/" + id + "/log").raw, HasSubstr("round 2 of 2, 2 streams"));
  const ManageReply too_long = wait_for_end(begin("bench", {{"model", "tiny"}, {"prompt_tokens", 600}}));
  EXPECT_EQ(too_long.at("/state"), "failed");
  EXPECT_EQ(too_long.at("/error/code"), "invalid_argument");
  EXPECT_THAT(too_long.at("/error/message"), HasSubstr("the model has 512"));
}

TEST_F(JobRoutesTest, refuses_at_once_what_cannot_be) {
  refuses(owner().call("POST", "/api/v1/jobs", "{}"), 400, "kind", "kind");
  refuses(ask(owner(), "explode", {}), 400, "kind", "there are import, convert, perplexity, bench");
  refuses(ask(owner(), "bench", {}), 400, "parameters.model", "parameters.model");
  refuses(ask(owner(), "bench", {{"model", "tiny"}, {"rounds", 0}}), 400, "parameters.rounds", "0");
  refuses(ask(owner(), "bench", {{"model", "tiny"}, {"speed", 1}}), 400, "parameters.speed", "speed");
  refuses(ask(owner(), "bench", {{"model", "tniy"}}), 404, "parameters.model", "tiny");
  refuses(ask(owner(), "bench", {{"model", "/nowhere"}}), 404, "parameters.model", "config.json");
  refuses(ask(owner(), "import", {{"file", "/nowhere.gguf"}}), 404, "parameters.file", "/nowhere.gguf");
  std::ofstream(folder_.path() / "no.gguf") << "no such thing";
  refuses(ask(owner(), "import", {{"file", (folder_.path() / "no.gguf").string()}}), 400, "parameters.file",
          "no.gguf");
  refuses(ask(owner(), "import", {{"file", gguf().string()}, {"name", "tiny"}}), 409, "parameters.name",
          "tiny");
  refuses(ask(owner(), "import", {{"file", gguf().string()}, {"name", "../x"}}), 400, "parameters.name",
          "../x");
  refuses(ask(owner(), "convert", {{"model", "tiny"}, {"name", "tiny"}, {"bits", 4}}), 409, "parameters.name",
          "already");
  refuses(ask(owner(), "convert", {{"model", "tiny"}, {"name", "x"}, {"bits", 7}}), 400, "parameters.bits",
          "bits must be 2, 3, 4, 5, 6 or 8");
  refuses(ask(owner(), "convert", {{"model", "tiny"}, {"name", "x"}}), 400, "parameters.bits",
          "say what the model is to become");
  refuses(ask(owner(), "convert", {{"model", "tiny"}, {"name", "x"}, {"dequantize", true}, {"bits", 4}}), 400,
          "parameters.dequantize", "does not go with bits");
  refuses(ask(owner(), "perplexity", {{"model", "tiny"}}), 400, "parameters.text", "text or file");
  EXPECT_EQ(owner().get("/api/v1/jobs").at("/jobs"), "[]");
  EXPECT_EQ(owner().get("/api/v1/jobs?state=odd").status, 400);
  EXPECT_EQ(files(), "tiny");
}

TEST_F(JobRoutesTest, jobs_are_ones_own_and_paths_and_new_models_are_administrators) {
  const ManageCaller ann = make_user("ann"), bob = make_user("bob");
  refuses(ask(ann, "import", {{"file", gguf().string()}}), 403, "kind", "administrator");
  refuses(ask(ann, "convert", {{"model", "tiny"}, {"name", "x"}, {"bits", 4}}), 403, "kind", "administrator");
  refuses(ask(ann, "bench", {{"model", (models() / "tiny").string()}}), 403, "parameters.model", "by path");
  refuses(ask(ann, "perplexity", {{"model", "tiny"}, {"file", "/etc/passwd"}}), 403, "parameters.file",
          "administrator");
  const ManageReply begun = ask(ann, "perplexity", {{"model", "tiny"}, {"text", "some words to score"}});
  ASSERT_EQ(begun.status, 202) << begun.raw;
  const std::string path = "/api/v1/jobs/" + begun.at("/id");
  EXPECT_EQ(wait_for_end(begun.at("/id")).at("/state"), "done");
  EXPECT_EQ(ann.get(path).status, 200);
  EXPECT_EQ(ann.get("/api/v1/jobs").body.at("jobs").as_array().size(), 1U);
  EXPECT_EQ(bob.get("/api/v1/jobs").at("/jobs"), "[]");
  for (const std::string& each : {path, path + "/log"}) EXPECT_EQ(bob.get(each).status, 404) << each;
  EXPECT_EQ(bob.call("POST", path + "/cancel", "{}").status, 404);
  EXPECT_EQ(bob.call("DELETE", path).status, 404);
  EXPECT_EQ(ann.call("POST", path + "/cancel", "{}").status, 409);
  EXPECT_EQ(ann.call("DELETE", path).status, 204);
}

TEST_F(JobRoutesTest, a_job_that_runs_stops_when_told_to_and_the_next_begins) {
  const std::string running = begin("bench", long_bench());
  const std::string waiting = begin("bench", long_bench());
  const std::string last = begin("perplexity", {{"model", "tiny"}, {"text", "some words to score"}});
  EXPECT_EQ(wait_for_step(running, "measuring").at("/state"), "running");
  EXPECT_NE(owner().get("/api/v1/servers").at("/budget/job_bytes"), "0");
  EXPECT_EQ(show(waiting).at("/jobs_before"), "1");
  EXPECT_EQ(owner().call("DELETE", "/api/v1/jobs/" + running).status, 409);
  EXPECT_EQ(owner().call("POST", "/api/v1/jobs/" + waiting + "/cancel", "{}").at("/state"), "cancelled");
  EXPECT_EQ(owner().call("POST", "/api/v1/jobs/" + running + "/cancel", "{}").status, 200);
  EXPECT_EQ(wait_for_end(running).at("/state"), "cancelled");
  EXPECT_EQ(wait_for_end(last).at("/state"), "done");
  EXPECT_EQ(owner().get("/api/v1/servers").at("/budget/job_bytes"), "0");
}

TEST_F(JobRoutesTest, a_model_is_probed_apart_from_what_is_served) {
  const ManageReply job = wait_for_end(begin("probe", {{"model", "tiny"}}));
  ASSERT_EQ(job.at("/state"), "done") << job.raw;
  EXPECT_EQ(job.at("/result/model"), "tiny");
  const json::object& result = job.body.at("result").as_object();
  EXPECT_FALSE(result.at("context").at("trials").as_array().empty());
  EXPECT_EQ(result.at("speed").as_array().size(), 2U) << job.raw;
  const ManageReply log = owner().get("/api/v1/jobs/" + job.at("/id") + "/log");
  EXPECT_THAT(log.raw, HasSubstr("context: "));
  EXPECT_EQ(owner().get("/api/v1/servers").at("/budget/job_bytes"), "0");
}

TEST_F(JobRoutesTest, what_waits_holds_its_name_and_leaves_nothing_if_it_is_cancelled) {
  const std::string running = begin("bench", long_bench());
  const std::string import = begin("import", {{"file", gguf().string()}});
  refuses(ask(owner(), "convert", {{"model", "tiny"}, {"name", "little"}, {"bits", 4}}), 409,
          "parameters.name", "makes a model 'little'");
  EXPECT_EQ(owner().call("POST", "/api/v1/jobs/" + import + "/cancel", "{}").status, 200);
  EXPECT_EQ(owner().call("POST", "/api/v1/jobs/" + running + "/cancel", "{}").status, 200);
  EXPECT_EQ(wait_for_end(import).at("/state"), "cancelled");
  EXPECT_EQ(files(), "tiny");
}

TEST_F(JobRoutesTest, memory_counts_against_the_pools_budget) {
  start({.budget_bytes = 1000});
  const ManageReply job =
      wait_for_end(begin("perplexity", {{"model", "tiny"}, {"text", "some words to score"}}));
  EXPECT_EQ(job.at("/state"), "failed");
  EXPECT_EQ(job.at("/error/code"), "out_of_memory");
  EXPECT_THAT(job.at("/error/message"), HasSubstr("the memory for models is"));
}

TEST_F(JobRoutesTest, after_a_restart_interrupted_jobs_say_so_and_what_they_left_is_gone) {
  const std::string running = begin("bench", long_bench());
  const std::string waiting =
      begin("convert", {{"model", "tiny"}, {"name", "x"}, {"bits", 4}, {"group", 32}});
  wait_for_step(running, "measuring");
  server_.reset();
  // As a kill would have left them.
  fs::create_directories(models() / ".converting-dead");
  std::ofstream(models() / ".converting-dead" / "model.safetensors") << "half";
  std::ofstream(models() / ".converting-dead.lock");
  fs::create_directories(models() / ".importing-moved.old");
  std::ofstream(models() / ".importing-moved.old" / "config.json") << "{}";
  std::ofstream(models() / ".importing-moved.lock");
  start();
  EXPECT_EQ(show(running).at("/state"), "interrupted");
  EXPECT_THAT(show(running).at("/error/message"), HasSubstr("start it again"));
  EXPECT_EQ(wait_for_end(waiting).at("/state"), "done");
  EXPECT_EQ(files(), "moved tiny x");
}

TEST_F(JobRoutesTest, events_tell_of_a_job_those_whom_it_concerns) {
  const ManageCaller ann = make_user("ann"), bob = make_user("bob");
  const auto listen = [&](const ManageCaller& who) {
    auto client = std::make_unique<http::testing::RawClient>(port());
    client->send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n" + who.headers() + "\r\n");
    EXPECT_THAT(client->read_until("event: jobs\ndata: {\"jobs\":[]}"), HasSubstr("200 OK"));
    return client;
  };
  const auto by_ann = listen(ann), by_bob = listen(bob), by_owner = listen(owner());
  const ManageReply begun = ask(ann, "bench", {{"model", "tiny"}, {"prompt_tokens", 8}, {"tokens", 4}});
  const std::string id = begun.at("/id");
  for (const auto& listener : {by_ann.get(), by_owner.get()}) {
    const std::string told = listener->read_until("\"state\":\"done\"");
    EXPECT_THAT(told, HasSubstr("event: job\ndata: {\"id\":\"" + id));
    EXPECT_THAT(told, HasSubstr("event: job_log\ndata: {\"id\":\"" + id));
    EXPECT_THAT(told, HasSubstr("round 3 of 3"));
  }
  EXPECT_EQ(ann.call("DELETE", "/api/v1/jobs/" + id).status, 204);
  EXPECT_THAT(by_owner->read_until("event: job_gone\ndata: {\"id\":\"" + id), HasSubstr("job_gone"));
  // What comes next to Bob is not about her.
  EXPECT_EQ(owner().call("PUT", "/api/v1/aliases/other", R"({"model":"tiny"})").status, 200);
  EXPECT_THAT(by_bob->read_until("event: profiles"), ::testing::Not(HasSubstr(id)));
}

TEST_F(JobRoutesTest, kinds_are_told_for_those_who_fill_in_a_form) {
  const ManageReply kinds = owner().get("/api/v1/jobs/kinds");
  ASSERT_EQ(kinds.status, 200) << kinds.raw;
  std::map<std::string, json::value> by_name;
  for (const json::value& kind : kinds.body.at("kinds").as_array())
    by_name[std::string(kind.at("kind").as_string())] = kind;
  EXPECT_EQ(by_name.size(), 5U);
  EXPECT_TRUE(by_name.at("import").at("admin_only").as_bool());
  EXPECT_FALSE(by_name.at("bench").at("admin_only").as_bool());
  EXPECT_EQ(json::serialize(by_name.at("bench").at("parameters").at(1)),
            R"({"name":"prompt_tokens","type":"integer","about":"tokens of a prompt","required":false,)"
            R"("default":512,"min":1,"max":1048576})");
}

}  // namespace
}  // namespace mlxd
