// Text to ids and back, and learning a tokenizer, in MB/s on one text; best of several rounds.
//
//   tokenizer_bench [--json] [TEXT [TOKENIZER]]
//
// Without TEXT a language of 20,000 words is made up; without TOKENIZER one of 8,192 tokens is
// learnt from the text. bench/peers/tokenizer.py runs this beside tiktoken and tokenizers.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pointwork/base/check.h"
#include "pointwork/base/rng.h"
#include "pointwork/files/file.h"
#include "pointwork/text/bpe_trainer.h"
#include "pointwork/text/split.h"
#include "pointwork/text/tokenizer.h"

namespace pointwork::bench {
namespace {

constexpr int kRounds = 5;
constexpr int64_t kVocab = 8192;

double seconds(const std::function<void()>& work, int rounds = kRounds) {
  double best = 1e30;
  for (int i = 0; i < rounds; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    const auto end = std::chrono::steady_clock::now();
    best = std::min(best, std::chrono::duration<double>(end - begin).count());
  }
  return best;
}

// Word n occurs about 1/n as often as the first.
std::string made_up(size_t bytes) {
  constexpr uint64_t kWords = 20'000;
  std::vector<std::string> words;
  for (uint64_t n = 0; n < kWords; ++n) {
    std::string word;
    const uint64_t length = 2 + random_bits(1, n) % 9;
    for (uint64_t i = 0; i < length; ++i) word += "etaoinshrdlu"[random_bits(2, n, i) % 12];
    words.push_back(word);
  }
  std::string text;
  for (uint64_t i = 0; text.size() < bytes; ++i) {
    const double place = std::exp(random_uniform(3, i) * std::log(double{kWords})) - 1;
    text += words[static_cast<size_t>(place)] + (random_bits(4, i) % 12 == 0 ? ".\n" : " ");
  }
  return text;
}

Tokenizer learn(const std::string& text) {
  BpeTrainer trainer({.vocab_size = kVocab});
  constexpr size_t kDocument = size_t{1} << 16;
  for (size_t at = 0; at < text.size();) {
    const size_t end =
        std::min(text.find('\n', std::min(at + kDocument, text.size())), text.size());
    trainer.push(std::string_view(text).substr(at, end - at));
    at = end;
  }
  return trainer.train();
}

void run(const std::string& path, const std::string& tokenizer_path, bool json) {
  const std::string text = path.empty() ? made_up(20'000'000) : read_file(path);
  const double megabytes = static_cast<double>(text.size()) / 1e6;
  const double learning = seconds([&] { learn(text); }, 2);
  const Tokenizer tokenizer =
      tokenizer_path.empty() ? learn(text) : Tokenizer::load(tokenizer_path);
  const std::string file = tokenizer.to_json();
  const double loading = seconds([&] { Tokenizer::parse(file, "bench"); });
  const double splitting = seconds([&] {
    size_t at = 0;
    while (at < text.size()) at = piece_end(text, at);
  });
  std::vector<int32_t> ids;
  const double encoding = seconds([&] { ids = tokenizer.encode(text); });
  std::string decoded;
  const double decoding = seconds([&] { decoded = tokenizer.decode(ids); });
  check(decoded == text, "decoding does not give the text back");
  if (json) {
    const nlohmann::ordered_json result = {{"bytes", text.size()},
                                           {"tokens", ids.size()},
                                           {"split_bytes_per_second", 1e6 * megabytes / splitting},
                                           {"encode_bytes_per_second", 1e6 * megabytes / encoding},
                                           {"decode_bytes_per_second", 1e6 * megabytes / decoding},
                                           {"load_seconds", loading},
                                           {"learn_seconds", learning}};
    std::printf("%s\n", result.dump().c_str());
    return;
  }
  std::printf("%.1f MB, %zu tokens of a vocabulary of %lld; one thread, learning on all\n",
              megabytes, ids.size(), static_cast<long long>(tokenizer.vocab_size()));
  std::printf("split            %9.1f MB/s\n", megabytes / splitting);
  std::printf("encode           %9.1f MB/s\n", megabytes / encoding);
  std::printf("decode           %9.1f MB/s\n", megabytes / decoding);
  std::printf("load             %9.1f ms\n", 1e3 * loading);
  std::printf("learn V %-8lld %9.2f s\n", static_cast<long long>(kVocab), learning);
}

}  // namespace
}  // namespace pointwork::bench

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool json = std::erase(arguments, "--json") > 0;
  arguments.resize(2);
  try {
    pointwork::bench::run(arguments[0], arguments[1], json);
  } catch (const pointwork::Error& error) {
    std::fprintf(stderr, "tokenizer_bench: error: %s\n", error.what());
    return 1;
  }
  return 0;
}
