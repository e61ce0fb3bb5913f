#include "http/server.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <memory>
#include <thread>

#include "base/mutex.h"
#include "http/sse.h"
#include "http/testing/raw_client.h"

namespace mlxd::http {
namespace {

using testing::RawClient;
using testing::RawResponse;

// Something that happens once on another thread.
class Event {
 public:
  void set() {
    const MutexLock lock(mutex_);
    set_ = true;
    condition_.notify_all();
  }
  bool wait() {
    const auto deadline = std::chrono::steady_clock::now() + testing::kPatience;
    const MutexLock lock(mutex_);
    while (!set_) {
      if (!condition_.wait_until(mutex_, deadline)) return set_;
    }
    return true;
  }

 private:
  Mutex mutex_;
  CondVar condition_;
  bool set_ GUARDED_BY(mutex_) = false;
};

// A server with routes that answer in every way a handler can.
class ServerTest : public ::testing::Test {
 protected:
  void start(ServerOptions options = {}) {
    options.render_error = [](const Request&, int status, const Error& error) {
      return Response{.status = status, .content_type = "text/plain", .body = error.message};
    };
    options.on_drained = [this] { drained_.set(); };
    Router router;
    router.add("GET", "/hello", [](ExchangePtr exchange) {
      exchange->respond(
          {.status = 200, .content_type = "text/plain", .body = "hello " + exchange->request.query});
    });
    router.add("GET", "/things/{id}", [](ExchangePtr exchange) {
      exchange->respond({.body = "one " + std::string(exchange->request.parameter("id"))});
    });
    router.add("GET", "/models/{id...}", [](ExchangePtr exchange) {
      exchange->respond({.body = std::string(exchange->request.parameter("id"))});
    });
    router.add("POST", "/echo",
               [](ExchangePtr exchange) {
                 Response response;
                 response.body = std::move(exchange->request.body);
                 exchange->respond(std::move(response));
               },
               {.media_type = "application/json"});
    router.add("POST", "/small", [](ExchangePtr exchange) { exchange->respond({}); }, {.max_body_bytes = 10});
    router.add("GET", "/dropped", [](const ExchangePtr&) {});
    router.add("GET", "/cut", [](const ExchangePtr& exchange) {
      exchange->begin_stream({.content_type = "text/plain", .body = "begun"});
    });
    router.add("GET", "/stream", [](const ExchangePtr& exchange) {
      exchange->begin_stream({.content_type = std::string(kEventStreamType)});
      for (const char* data : {"one", "two"}) {
        std::string bytes;
        append_event(bytes, data);
        exchange->send(bytes);
      }
      exchange->end();
    });
    // Answers only when the test says so, or notices that the client has gone.
    router.add("GET", "/wait", [this](const ExchangePtr& exchange) {
      exchange->on_gone([this] { gone_.set(); });
      hold(exchange);
    });
    router.add("GET", "/wait-stream", [this](const ExchangePtr& exchange) {
      exchange->on_gone([this] { gone_.set(); });
      exchange->begin_stream({.content_type = std::string(kEventStreamType)},
                             [] { return std::string(kSseKeepAlive); });
      hold(exchange);
    });
    // More than any socket buffer holds, given as fast as the client takes it.
    router.add("GET", "/flood", [](const ExchangePtr& exchange) {
      exchange->begin_stream({.content_type = "text/plain"});
      auto left = std::make_shared<int>(400);
      auto pump = [exchange, left] {
        const std::string block(32 * 1024, 'x');
        while (*left > 0 && exchange->pending_bytes() < Exchange::kHighWaterBytes) {
          exchange->send(block);
          if (--*left == 0) exchange->end();
        }
      };
      exchange->on_drained(pump);
      pump();
    });
    auto started = Server::start(std::move(options), std::move(router));
    ASSERT_TRUE(started.ok()) << started.error().message;
    server_ = started.take_value();
  }

  void TearDown() override {
    release_held();
    server_.reset();
  }

  void hold(const ExchangePtr& exchange) {
    const MutexLock lock(mutex_);
    held_ = exchange;
    held_event_.set();
  }
  void release_held() {
    ExchangePtr released;
    {
      const MutexLock lock(mutex_);
      released = std::move(held_);
    }
  }
  ExchangePtr held() {
    EXPECT_TRUE(held_event_.wait());
    const MutexLock lock(mutex_);
    return held_;
  }

  RawClient client() { return RawClient(server_->port()); }

  Event drained_, gone_, held_event_;
  Mutex mutex_;
  ExchangePtr held_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, answers_from_path_and_header_alone) {
  start();
  struct Case {
    std::string_view method, path, headers, body;
    int status;
    std::string_view answer_has;
  };
  const std::string long_name(100, 'n');
  const Case cases[] = {
      {"GET", "/hello", "", "", 200, "hello"},
      {"GET", "/hello?a=b", "", "", 200, "hello a=b"},
      {"GET", "http://localhost/hello?x", "", "", 200, "hello x"},
      {"GET", "/things/a%20b", "", "", 200, "one a b"},
      {"GET", "/things/", "", "", 404, "no route"},
      {"GET", "/things/a/b", "", "", 404, "no route"},
      {"GET", "/things/%zz", "", "", 404, "no route"},
      {"GET", "/models/org/name", "", "", 200, "org/name"},
      {"GET", "/models/org%2Fname", "", "", 200, "org/name"},
      {"GET", "/nowhere", "", "", 404, "GET /nowhere"},
      {"GET", "*", "", "", 404, "no route"},
      {"DELETE", "/hello", "", "", 405, "use GET, HEAD"},
      {"BREW", "/hello", "", "", 405, "BREW"},
      {"POST", "/echo", "", "{}", 200, "{}"},
      {"POST", "/echo", "Content-Type: application/json; charset=utf-8\r\n", "{}", 200, "{}"},
      {"POST", "/echo", "Content-Type: application/problem+json\r\n", "{}", 200, "{}"},
      {"POST", "/echo", "Content-Type: text/plain\r\n", "{}", 415, "application/json"},
      {"POST", "/small", "", "0123456789", 200, ""},
      {"POST", "/small", "", "0123456789a", 413, "limit of 10 bytes"},
      {"POST", "/echo", "Content-Encoding: identity\r\n", "{}", 200, "{}"},
      {"POST", "/echo", "Content-Encoding: gzip\r\n", "{}", 415, "gzip"},
      {"POST", "/echo", "Expect: miracles\r\n", "{}", 417, "100-continue"},
      {"GET", "/dropped", "", "", 500, "dropped"},
      {"GET", "/hello", "Host: evil.example\r\n", "", 403, "evil.example"},
      {"GET", "/hello", "Host: 127.0.0.1.evil.example\r\n", "", 403, "not this server's"},
      {"GET", "/hello", "Host: 127.0.0.1:1234\r\n", "", 200, "hello"},
      {"GET", "/hello", "Host: [::1]:1234\r\n", "", 200, "hello"},
      {"GET", "/hello", "Origin: https://evil.example\r\n", "", 403, "evil.example"},
      {"GET", "/hello", "Origin: null\r\n", "", 403, "null"},
      {"GET", "/hello", "Origin: http://localhost:3000\r\n", "", 200, "hello"},
      {"GET", "/hello", "Origin: tauri://localhost\r\n", "", 200, "hello"},
  };
  for (const Case& c : cases) {
    const RawResponse response = client().request(c.method, c.path, c.body, c.headers);
    EXPECT_EQ(response.status, c.status) << c.method << " " << c.path << " " << c.headers;
    EXPECT_NE(response.body.find(c.answer_has), std::string::npos) << c.path << ": " << response.body;
    EXPECT_NE(response.header("x-request-id"), "(none)");
  }
}

TEST_F(ServerTest, tells_allowed_methods_and_serves_HEAD_without_a_body) {
  start();
  EXPECT_EQ(client().request("POST", "/hello").header("allow"), "GET, HEAD, OPTIONS");
  RawClient one = client();
  const RawResponse head = one.request("HEAD", "/hello");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("content-length"), "6");
  EXPECT_EQ(one.request("HEAD", "/stream").status, 200);
  EXPECT_EQ(one.request("GET", "/hello").body, "hello ");
}

TEST_F(ServerTest, answers_preflights_of_allowed_origins) {
  start({.allowed_origins = {"https://chat.example.org"}});
  const RawResponse response = client().request("OPTIONS", "/echo", {},
                                                "Origin: https://chat.example.org\r\n"
                                                "Access-Control-Request-Method: POST\r\n"
                                                "Access-Control-Request-Headers: authorization\r\n");
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(response.header("access-control-allow-origin"), "https://chat.example.org");
  EXPECT_EQ(response.header("access-control-allow-methods"), "POST, OPTIONS");
  EXPECT_EQ(response.header("access-control-allow-headers"), "authorization");
  EXPECT_EQ(client().request("OPTIONS", "/nowhere").status, 404);
}

TEST_F(ServerTest, keeps_a_sane_request_id_and_replaces_others) {
  start();
  EXPECT_EQ(client().request("GET", "/hello", {}, "X-Request-ID: abc-1.2\r\n").header("x-request-id"),
            "abc-1.2");
  const std::string replaced =
      client().request("GET", "/hello", {}, "X-Request-ID: a b\r\n").header("x-request-id");
  EXPECT_TRUE(replaced.starts_with("req_")) << replaced;
}

TEST_F(ServerTest, answers_pipelined_requests_in_order) {
  start();
  RawClient one = client();
  std::string all;
  for (int i = 0; i < 50; ++i) {
    all += RawClient::message("GET", "/hello?" + std::to_string(i));
    all += RawClient::message("POST", "/echo", "{\"i\":" + std::to_string(i) + "}");
    all += RawClient::message("GET", "/stream");
  }
  ASSERT_TRUE(one.send(all));
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(one.read_response().body, "hello " + std::to_string(i));
    EXPECT_EQ(one.read_response().body, "{\"i\":" + std::to_string(i) + "}");
    EXPECT_EQ(one.read_response().body, "data: one\n\ndata: two\n\n");
  }
}

TEST_F(ServerTest, takes_requests_in_single_bytes) {
  start();
  const std::string chunked = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  struct Case {
    std::string message, answer;
  };
  const Case cases[] = {
      {RawClient::message("POST", "/echo", "{\"a\": 1}"), "{\"a\": 1}"},
      {chunked + "0\r\n\r\n", ""},
      {chunked + "1\r\na\r\n2;x\r\nbc\r\n0\r\nTrailer: t\r\n\r\n", "abc"},
  };
  RawClient one = client();
  for (const Case& c : cases) {
    for (const char byte : c.message) ASSERT_TRUE(one.send({&byte, 1}));
    const RawResponse response = one.read_response();
    EXPECT_EQ(response.status, 200) << c.message;
    EXPECT_EQ(response.body, c.answer) << c.message;
  }
}

TEST_F(ServerTest, passes_over_empty_lines_before_a_request) {
  start();
  RawClient one = client();
  const std::string get = RawClient::message("GET", "/hello");
  one.send("\r\n\r\n" + RawClient::message("POST", "/echo", "{}") + "\r\n" + get);
  EXPECT_EQ(one.read_response().body, "{}");
  EXPECT_EQ(one.read_response().body, "hello ");
  one.send("\r");
  one.send("\n" + get);
  EXPECT_EQ(one.read_response().body, "hello ");
}

TEST_F(ServerTest, takes_chunked_bodies_and_limits_them) {
  start({.max_body_bytes = 100});
  const std::string head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  RawClient one = client();
  one.send(head + "3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\n\r\n" + RawClient::message("GET", "/hello"));
  EXPECT_EQ(one.read_response().body, "abcdefg");
  EXPECT_EQ(one.read_response().body, "hello ");
  RawClient two = client();
  two.send(head + "64\r\n" + std::string(100, 'x') + "\r\n64\r\n" + std::string(100, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(two.read_response().status, 413);
  EXPECT_TRUE(two.at_end());
  RawClient three = client();
  three.send(head + "zz\r\n");
  EXPECT_EQ(three.read_response().status, 400);
}

TEST_F(ServerTest, sends_100_continue_only_to_those_who_may_go_on) {
  start({.max_body_bytes = 100});
  RawClient one = client();
  one.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(one.read_response().status, 100);
  one.send("{}");
  EXPECT_EQ(one.read_response().body, "{}");
  one.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 200\r\n\r\n");
  EXPECT_EQ(one.read_response().status, 413);
}

TEST_F(ServerTest, refuses_a_large_body_so_that_its_sender_reads_why) {
  start({.max_body_bytes = 1000});
  RawClient one = client();
  one.send(RawClient::message("POST", "/echo", std::string(8 << 20, 'x')));
  EXPECT_EQ(one.read_response().status, 413);
}

TEST_F(ServerTest, refuses_what_is_no_http) {
  start();
  const std::string cases[] = {
      "\r\n\r\n\r\n",
      std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + "\r\n\r\n",
      std::string(300, '\0'),
      "GET / HTTP/9.9\r\n\r\n",
      "GET /hello HTTP/1.1\r\n\r\n",
      "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
      "GET /hello HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: "
      "chunked\r\n\r\n0\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      "GET /" + std::string(100000, 'a') + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "GET /hello HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(100000, 'a') + "\r\n\r\n",
  };
  for (const std::string& bytes : cases) {
    RawClient one = client();
    one.send(bytes);
    one.shutdown_write();
    const RawResponse response = one.read_response();
    EXPECT_TRUE(response.status == 0 || (response.status >= 400 && response.status < 600))
        << bytes.substr(0, 60);
    EXPECT_TRUE(one.at_end());
  }
  EXPECT_EQ(client().request("GET", "/hello").status, 200);
}

TEST_F(ServerTest, takes_another_idle_time_while_it_runs) {
  start({.idle_timeout = std::chrono::hours(24)});
  server_->set_idle_timeout(std::chrono::milliseconds(50));
  RawClient idle = client();
  EXPECT_TRUE(idle.at_end());
  RawClient kept_alive = client();
  EXPECT_EQ(kept_alive.request("GET", "/hello").status, 200);
  EXPECT_TRUE(kept_alive.at_end());
}

TEST_F(ServerTest, gives_up_on_requests_that_do_not_arrive) {
  start({.idle_timeout = std::chrono::milliseconds(300),
         .header_timeout = std::chrono::milliseconds(50),
         .body_timeout = std::chrono::milliseconds(50)});
  RawClient half_header = client();
  half_header.send("GET /hello HTTP/1.1\r\nHost: loc");
  EXPECT_EQ(half_header.read_response().status, 408);
  EXPECT_TRUE(half_header.at_end());
  RawClient half_body = client();
  half_body.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_EQ(half_body.read_response().status, 408);
  RawClient idle = client();
  EXPECT_TRUE(idle.at_end());
  RawClient kept_alive = client();
  EXPECT_EQ(kept_alive.request("GET", "/hello").status, 200);
  EXPECT_TRUE(kept_alive.at_end());
}

TEST_F(ServerTest, serves_beside_two_hundred_idle_and_half_open_connections) {
  start();
  std::vector<RawClient> idle;
  for (int i = 0; i < 200; ++i) {
    idle.push_back(client());
    if (i % 2 == 0) idle.back().send("POST /echo HTTP/1.1\r\nHost: localhost\r\n");
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client().request("GET", "/hello").status, 200);
  EXPECT_EQ(idle[1].request("GET", "/hello").status, 200);
}

TEST_F(ServerTest, refuses_connections_over_the_cap) {
  start({.max_connections = 3});
  std::vector<RawClient> open;
  for (int i = 0; i < 3; ++i) {
    open.push_back(client());
    EXPECT_EQ(open.back().request("GET", "/hello").status, 200);
  }
  EXPECT_EQ(client().read_response().status, 503);
  EXPECT_EQ(open[0].request("GET", "/hello").status, 200);
}

TEST_F(ServerTest, a_slow_reader_stalls_nobody_and_gets_everything) {
  start({.io_threads = 1, .send_buffer_bytes = 16 * 1024});
  RawClient slow = client();
  slow.send(RawClient::message("GET", "/flood"));
  const std::string head = slow.read_until("\r\n\r\n");
  EXPECT_NE(head.find("200 OK"), std::string::npos);
  RawClient fast = client();
  EXPECT_EQ(fast.request("GET", "/flood").body.size(), 400U * 32 * 1024);
  EXPECT_EQ(fast.request("GET", "/hello").status, 200);
  std::size_t total = 0;
  for (;;) {
    const std::size_t size = std::strtoul(slow.read_until("\r\n").c_str(), nullptr, 16);
    if (size == 0) break;
    slow.read_until("\r\n");
    total += size;
  }
  EXPECT_EQ(total, 400U * 32 * 1024);
}

TEST_F(ServerTest, gives_up_on_a_client_that_takes_nothing) {
  start({.write_timeout = std::chrono::milliseconds(50), .send_buffer_bytes = 16 * 1024});
  RawClient slow = client();
  slow.send(RawClient::message("GET", "/flood"));
  // The only connection: when it is gone, the server has drained.
  slow.read_until("\r\n\r\n");
  server_->begin_drain();
  EXPECT_TRUE(drained_.wait());
}

TEST_F(ServerTest, notices_a_client_that_goes_away_before_its_answer) {
  start();
  {
    RawClient one = client();
    one.send(RawClient::message("GET", "/wait"));
    ASSERT_NE(held(), nullptr);
  }
  EXPECT_TRUE(gone_.wait());
}

TEST_F(ServerTest, notices_a_client_that_goes_away_after_an_empty_line) {
  start();
  {
    RawClient one = client();
    one.send(RawClient::message("GET", "/wait") + "\r\n");
    ASSERT_NE(held(), nullptr);
  }
  EXPECT_TRUE(gone_.wait());
}

TEST_F(ServerTest, notices_a_client_that_goes_away_in_mid_stream) {
  start();
  {
    RawClient one = client();
    one.send(RawClient::message("GET", "/wait-stream"));
    ASSERT_NE(held(), nullptr);
  }
  EXPECT_TRUE(gone_.wait());
}

TEST_F(ServerTest, fills_a_silent_stream_with_its_keep_alive) {
  start({.keep_alive_interval = std::chrono::milliseconds(20)});
  RawClient one = client();
  one.send(RawClient::message("GET", "/wait-stream"));
  one.read_until("\r\n\r\n");
  EXPECT_NE(one.read_until(": keep-alive").find(": keep-alive"), std::string::npos);
}

TEST_F(ServerTest, cuts_a_stream_whose_handler_lets_go) {
  start();
  RawClient one = client();
  one.send(RawClient::message("GET", "/cut"));
  const std::string all = one.read_all();
  EXPECT_NE(all.find("begun"), std::string::npos);
  EXPECT_EQ(all.find("0\r\n\r\n"), std::string::npos);
}

TEST_F(ServerTest, streams_to_http_1_0_until_the_end_of_the_connection) {
  start();
  RawClient one = client();
  one.send("GET /stream HTTP/1.0\r\n\r\n");
  const std::string all = one.read_all();
  EXPECT_EQ(all.find("chunked"), std::string::npos);
  EXPECT_TRUE(all.ends_with("\r\n\r\ndata: one\n\ndata: two\n\n")) << all;
}

TEST_F(ServerTest, drains_what_runs_and_takes_no_more) {
  start();
  RawClient idle = client();
  EXPECT_EQ(idle.request("GET", "/hello").status, 200);
  RawClient busy = client();
  busy.send(RawClient::message("GET", "/wait"));
  ExchangePtr exchange = held();
  release_held();
  server_->begin_drain();
  EXPECT_TRUE(idle.at_end());
  Exchange& running = *exchange;
  running.post([kept = std::move(exchange)] { kept->respond({.body = "done"}); });
  const RawResponse response = busy.read_response();
  EXPECT_EQ(response.body, "done");
  EXPECT_TRUE(busy.at_end());
  EXPECT_TRUE(drained_.wait());
  EXPECT_FALSE(BlockingSocket::connect("127.0.0.1", server_->port(), testing::kPatience).ok());
}

TEST_F(ServerTest, says_that_a_port_is_taken) {
  start();
  ServerOptions options;
  options.port = server_->port();
  options.render_error = [](const Request&, int, const Error&) { return Response(); };
  const auto second = Server::start(std::move(options), Router());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind, ErrorKind::kConflict);
  EXPECT_NE(second.error().message.find("another program uses this port"), std::string::npos);
}

}  // namespace
}  // namespace mlxd::http
