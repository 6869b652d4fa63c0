#include "pointwork/text/pair_model.h"

#include <gtest/gtest.h>

#include "pointwork/base/check.h"

namespace pointwork::test {
namespace {

// Every byte but these, in order.
Vocabulary bytes_without(const std::string& lacking) {
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    if (lacking.find(c) == std::string::npos) vocabulary.tokens.emplace_back(1, c);
  }
  return vocabulary;
}

std::vector<int32_t> ids_of(const PieceModel& model, const std::string& piece) {
  std::vector<int32_t> ids;
  model.encode(piece, ids);
  return ids;
}

// SmolLM2 knows no U+0004, nor bytes that begin rare letters, and has no unknown token:
// `tokenizers` passes them over.
TEST(BytePairs, PassOverWhatAPretrainedVocabularyLacks) {
  const auto model = byte_pairs(bytes_without("\x04\xf1"));
  const int32_t a = 'a' - 1;
  EXPECT_EQ(ids_of(*model,
                   "a\x04"
                   "b"),
            (std::vector<int32_t>{a, a + 1}));
  EXPECT_EQ(ids_of(*model, "\x04"), std::vector<int32_t>{});
  EXPECT_EQ(ids_of(*model,
                   "\x04\xf1"
                   "a"),
            std::vector<int32_t>{a});
  // With an unknown token they are that.
  const auto knows = byte_pairs(bytes_without("\x04"), {.unk = 7});
  EXPECT_EQ(ids_of(*knows, "a\x04\x04"), (std::vector<int32_t>{a, 7, 7}));
  const auto fuses = byte_pairs(bytes_without("\x04"), {.fuse_unk = true, .unk = 7});
  EXPECT_EQ(ids_of(*fuses, "a\x04\x04"), (std::vector<int32_t>{a, 7}));
}

TEST(BytePairs, RefuseAVocabularyThatLacksALetter) {
  try {
    byte_pairs(bytes_without("e"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(
        std::string(error.what()),
        "the vocabulary has no token 'e' for byte 101; a byte-level BPE has one for each byte "
        "but control characters, or an unknown token");
  }
}

}  // namespace
}  // namespace pointwork::test
