#include "pointwork/text/split.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "pointwork/base/check.h"
#include "pointwork/text/utf8.h"

namespace pointwork {
namespace {

enum Kind : uint8_t { kSymbol, kLetter, kNumber, kSpace };

constexpr std::array<Kind, 128> ascii_kinds() {
  std::array<Kind, 128> kinds{};
  for (int c = 0; c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool number = c >= '0' && c <= '9';
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    kinds[static_cast<size_t>(c)] = letter ? kLetter : number ? kNumber : space ? kSpace : kSymbol;
  }
  return kinds;
}

constexpr std::array<Kind, 128> kAscii = ascii_kinds();

// One character's kind, asked of PCRE2: the number of the group that matched.
class KindPattern {
 public:
  KindPattern() {
    constexpr std::string_view kPattern = R"((\p{L})|(\p{N})|((?!\x{180E})\s))";
    int error = 0;
    PCRE2_SIZE place = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kPattern.data()), kPattern.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &place, nullptr));
    check(code_ != nullptr, "PCRE2 cannot compile the split pattern: error ", error, " at ", place,
          " (is it built with Unicode?)");
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // where it cannot, matching works without
    match_.reset(pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    check(match_ != nullptr, "out of memory");
  }

  Kind kind(uint32_t code) const {
    const std::array<unsigned char, 4> wide = {static_cast<unsigned char>(0xF0 | code >> 18),
                                               static_cast<unsigned char>(0x80 | (code >> 12 & 63)),
                                               static_cast<unsigned char>(0x80 | (code >> 6 & 63)),
                                               static_cast<unsigned char>(0x80 | (code & 63))};
    std::array<unsigned char, 4> text = wide;
    size_t skip = 0;  // of `wide`, so that its first byte becomes the lead byte
    if (code < 0x80) {
      skip = 3;
      text[3] = static_cast<unsigned char>(code);
    } else if (code < 0x800) {
      skip = 2;
      text[2] = static_cast<unsigned char>(0xC0 | code >> 6);
    } else if (code < 0x10000) {
      skip = 1;
      text[1] = static_cast<unsigned char>(0xE0 | code >> 12);
    }
    const int groups = pcre2_match(code_.get(), text.data() + skip, text.size() - skip, 0,
                                   PCRE2_NO_UTF_CHECK, match_.get(), nullptr);
    return groups >= 2 ? static_cast<Kind>(groups - 1) : kSymbol;
  }

 private:
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  };
  std::unique_ptr<pcre2_code, Free> code_;
  std::unique_ptr<pcre2_match_data, Free> match_;
};

constexpr uint32_t kBlock = 256, kBlocks = 0x110000 / kBlock;

// Filled block by block when a character of it is met first.
Kind g_kinds[kBlocks * kBlock];
std::atomic<bool> g_known[kBlocks];

void learn_block(uint32_t block) {
  static std::mutex mutex;
  static const KindPattern pattern;  // its match data is used under the mutex only
  const std::lock_guard lock(mutex);
  if (g_known[block].load(std::memory_order_relaxed)) return;  // others read it by now
  for (uint32_t code = block * kBlock; code < (block + 1) * kBlock; ++code) {
    if (code < 0xD800 || code > 0xDFFF) g_kinds[code] = pattern.kind(code);
  }
  g_known[block].store(true, std::memory_order_release);
}

struct Step {
  uint32_t length;
  Kind kind;
};

Step wide_step(std::string_view text, size_t at) {
  const Utf8Character c = utf8_character(text, at);
  if (c.length == 0) return {1, kSymbol};
  const uint32_t block = c.code / kBlock;
  if (!g_known[block].load(std::memory_order_acquire)) [[unlikely]]
    learn_block(block);
  return {c.length, g_kinds[c.code]};
}

inline Step step(std::string_view text, size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  return byte < 0x80 ? Step{1, kAscii[byte]} : wide_step(text, at);
}

inline size_t run_end(std::string_view text, size_t at, Kind kind) {
  while (at < text.size()) {
    const Step next = step(text, at);
    if (next.kind != kind) break;
    at += next.length;
  }
  return at;
}

// 's 't 're 've 'm 'll 'd; 0 where there is none.
size_t contraction(std::string_view rest) {
  if (rest.size() < 2) return 0;
  const char a = rest[1], b = rest.size() > 2 ? rest[2] : '\0';
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

}  // namespace

size_t piece_end(std::string_view text, size_t at) {
  if (text[at] == '\'') {
    if (const size_t length = contraction(text.substr(at, 3))) return at + length;
  }
  const Step first = step(text, at);
  size_t end = at + first.length;
  if (first.kind != kSpace) return run_end(text, end, first.kind);
  if (end < text.size() && text[at] == ' ') {
    const Step next = step(text, end);
    if (next.kind != kSpace) return run_end(text, end + next.length, next.kind);
  }
  // White space leaves its last character to what follows, unless it has only one.
  size_t last = at;
  while (end < text.size()) {
    const Step next = step(text, end);
    if (next.kind != kSpace) return last == at ? end : last;
    last = end;
    end += next.length;
  }
  return end;
}

}  // namespace pointwork
