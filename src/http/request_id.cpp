#include "http/request_id.h"

#include <random>

namespace mlxd::http {

std::string random_id(std::size_t size) {
  static constexpr char kAlphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  thread_local std::mt19937_64 generator([] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device(), device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }());
  std::uniform_int_distribution<std::size_t> letter(0, sizeof(kAlphabet) - 2);
  std::string id(size, '0');
  for (char& c : id) c = kAlphabet[letter(generator)];
  return id;
}

std::string new_request_id() { return "req_" + random_id(24); }

}  // namespace mlxd::http
