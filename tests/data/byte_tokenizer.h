#pragma once
// The smallest tokenizer.json there is.

#include <nlohmann/json.hpp>
#include <string>

namespace pointwork::test {

// GPT-2's printable stand-in for a byte, as UTF-8.
inline std::string stand_in(int byte) {
  const auto printable = [](int b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  };
  int code = byte;
  if (!printable(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += !printable(b);
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

// A byte-level BPE without merges: ids are bytes; 256 ends a text.
inline std::string byte_tokenizer() {
  nlohmann::ordered_json vocabulary = nlohmann::ordered_json::object();
  for (int byte = 0; byte < 256; ++byte) vocabulary[stand_in(byte)] = byte;
  const nlohmann::ordered_json json = {{"version", "1.0"},
                                       {"truncation", nullptr},
                                       {"padding", nullptr},
                                       {"added_tokens",
                                        {{{"id", 256},
                                          {"content", "<|endoftext|>"},
                                          {"single_word", false},
                                          {"lstrip", false},
                                          {"rstrip", false},
                                          {"normalized", false},
                                          {"special", true}}}},
                                       {"normalizer", nullptr},
                                       {"pre_tokenizer",
                                        {{"type", "ByteLevel"},
                                         {"add_prefix_space", false},
                                         {"trim_offsets", true},
                                         {"use_regex", true}}},
                                       {"post_processor", nullptr},
                                       {"decoder",
                                        {{"type", "ByteLevel"},
                                         {"add_prefix_space", true},
                                         {"trim_offsets", true},
                                         {"use_regex", true}}},
                                       {"model",
                                        {{"type", "BPE"},
                                         {"dropout", nullptr},
                                         {"unk_token", nullptr},
                                         {"continuing_subword_prefix", ""},
                                         {"end_of_word_suffix", ""},
                                         {"fuse_unk", false},
                                         {"byte_fallback", false},
                                         {"vocab", vocabulary},
                                         {"merges", nlohmann::ordered_json::array()}}}};
  return json.dump();
}

}  // namespace pointwork::test
