#include "http/client.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "http/origin_policy.h"
#include "http/server.h"
#include "http/sse.h"

namespace mlxd::http {
namespace {

std::unique_ptr<Server> make_server() {
  ServerOptions options;
  options.render_error = [](const Request&, int status, const Error& error) {
    return Response{.status = status, .body = error.message};
  };
  Router router;
  router.add("POST", "/v1/echo", [](const ExchangePtr& exchange) {
    Response response;
    response.body = exchange->request.body;
    exchange->respond(std::move(response));
  });
  router.add("POST", "/v1/stream", [](const ExchangePtr& exchange) {
    exchange->begin_stream({.content_type = std::string(kEventStreamType)});
    std::string bytes;
    for (int i = 0; i < 100; ++i) append_event(bytes, "event " + std::to_string(i));
    exchange->send(bytes.substr(0, 7));
    exchange->send(": comment\n" + bytes.substr(7));
    exchange->end();
  });
  return Server::start(std::move(options), std::move(router)).take_value();
}

TEST(Client, exchanges_json_and_errors) {
  const auto server = make_server();
  const auto client = Client::create("http://127.0.0.1:" + std::to_string(server->port()) + "/v1/");
  ASSERT_TRUE(client.ok()) << client.error().message;
  const std::string large(3 << 20, 'x');
  EXPECT_EQ(client->post("/echo", large)->body, large);
  EXPECT_EQ(client->get("/nowhere")->status, 404);
  EXPECT_EQ(client->get("/echo")->status, 405);
}

TEST(Client, hands_over_events_as_they_come_and_stops_when_told) {
  const auto server = make_server();
  const auto client = Client::create("http://localhost:" + std::to_string(server->port()));
  std::vector<std::string> events;
  const auto all = client->post_stream("/v1/stream", "{}", [&](std::string_view data) {
    events.emplace_back(data);
    return true;
  });
  ASSERT_TRUE(all.ok()) << all.error().message;
  ASSERT_EQ(events.size(), 100U);
  EXPECT_EQ(events[99], "event 99");
  events.clear();
  ASSERT_TRUE(client
                  ->post_stream("/v1/stream", "{}",
                                [&](std::string_view data) {
                                  events.emplace_back(data);
                                  return events.size() < 3;
                                })
                  .ok());
  EXPECT_EQ(events.size(), 3U);
}

TEST(Client, gives_up_a_stream_that_only_keeps_alive) {
  ExchangePtr held;
  Router router;
  router.add("POST", "/endless", [&held](const ExchangePtr& exchange) {
    exchange->begin_stream({.content_type = std::string(kEventStreamType)},
                           [] { return std::string(kSseKeepAlive); });
    held = exchange;
  });
  ServerOptions server_options;
  server_options.keep_alive_interval = std::chrono::milliseconds(20);
  server_options.render_error = [](const Request&, int status, const Error&) {
    return Response{.status = status};
  };
  const auto server = Server::start(std::move(server_options), std::move(router)).take_value();
  Client::Options options;
  options.total_timeout = std::chrono::milliseconds(200);
  const auto client = Client::create("http://localhost:" + std::to_string(server->port()), options);
  const auto answer = client->post_stream("/endless", "{}", [](std::string_view) { return true; });
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().kind, ErrorKind::kTimeout) << answer.error().message;
  server->close_all();
  held.reset();
}

TEST(Client, says_when_nobody_listens) {
  std::uint16_t port = 0;
  { port = make_server()->port(); }
  const auto response = Client::create("http://127.0.0.1:" + std::to_string(port))->get("/");
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().kind, ErrorKind::kUnavailable);
}

TEST(Client, says_when_the_server_closes_without_an_answer) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  std::thread server([listener] {
    const int connection = ::accept(listener, nullptr, nullptr);
    char request[4096];
    EXPECT_GT(::recv(connection, request, sizeof(request), 0), 0);
    ::close(connection);
  });
  const std::string port = std::to_string(ntohs(address.sin_port));
  const auto response = Client::create("http://127.0.0.1:" + port)->get("/");
  server.join();
  ::close(listener);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().kind, ErrorKind::kIo);
}

TEST(Client, refuses_addresses_that_are_none) {
  for (const char* url :
       {"", "localhost:1", "https://localhost", "http://", "http://host:port", "http://h:99999"})
    EXPECT_FALSE(Client::create(url).ok()) << url;
  EXPECT_EQ(Client::create("http://[::1]:80/")->host(), "::1");
}

TEST(OriginPolicy, knows_loopback_hosts) {
  for (const char* host : {"localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"})
    EXPECT_TRUE(is_loopback_host(host)) << host;
  for (const char* host : {"", "localhost.evil.org", "127.0.0.1.evil.org", "127.0.0", "1127.0.0.1",
                           "10.0.0.1", "evillocalhost", "127.0.0.1234", "127..0.1"})
    EXPECT_FALSE(is_loopback_host(host)) << host;
}

TEST(OriginPolicy, trusts_hosts_only_as_far_as_the_address_it_is_bound_to) {
  EXPECT_FALSE(OriginPolicy("127.0.0.1", {}).allows_host("box.lan:1"));
  EXPECT_TRUE(OriginPolicy("0.0.0.0", {}).allows_host("box.lan:1"));
  EXPECT_TRUE(OriginPolicy("0.0.0.0", {}).allows_origin("http://box.lan:1", "box.lan:1"));
  EXPECT_FALSE(OriginPolicy("0.0.0.0", {}).allows_origin("http://evil.org", "box.lan:1"));
  EXPECT_TRUE(OriginPolicy("0.0.0.0", {"*"}).allows_origin("http://evil.org", "box.lan:1"));
  EXPECT_FALSE(OriginPolicy("0.0.0.0", {"*"}).allows_origin("null", "box.lan:1"));
}

}  // namespace
}  // namespace mlxd::http
