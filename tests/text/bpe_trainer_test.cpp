// Training against the definition, and what the result must not depend on.

#include "pointwork/text/bpe_trainer.h"

#include <set>

#include "pointwork/text/split.h"
#include "pointwork/text/stand_in.h"
#include "pointwork/text/tokenizer_parts.h"
#include "tests/text/cases.h"

namespace pointwork::test {
namespace {

// The definition: count all pairs anew for every merge. Ids of bytes are in the order of their
// stand-ins; of equal counts the least pair is merged.
Vocabulary by_the_letter(std::string_view text, size_t size) {
  Vocabulary found;
  for (int byte = 0; byte < 256; ++byte) found.tokens.emplace_back(1, static_cast<char>(byte));
  std::sort(found.tokens.begin(), found.tokens.end(),
            [](const auto& a, const auto& b) { return to_stand_ins(a) < to_stand_ins(b); });
  std::map<std::string, int32_t> ids;
  for (size_t id = 0; id < 256; ++id) ids[found.tokens[id]] = static_cast<int32_t>(id);
  std::map<std::string, int64_t> counts;
  for (size_t at = 0, end; at < text.size(); at = end) {
    end = piece_end(text, at);
    ++counts[std::string(text.substr(at, end - at))];
  }
  std::vector<std::pair<Ids, int64_t>> words;
  for (const auto& [piece, count] : counts) {
    Ids word;
    for (const char c : piece) word.push_back(ids.at({c}));
    words.emplace_back(word, count);
  }
  while (found.tokens.size() < size) {
    std::map<std::pair<int32_t, int32_t>, int64_t> pairs;
    for (const auto& [word, count] : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) pairs[{word[i], word[i + 1]}] += count;
    }
    if (pairs.empty()) break;
    const auto best = std::max_element(
        pairs.begin(), pairs.end(),
        [](const auto& a, const auto& b) { return a.second < b.second; });  // the first of equals
    const auto [left, right] = best->first;
    const std::string whole =
        found.tokens[static_cast<size_t>(left)] + found.tokens[static_cast<size_t>(right)];
    if (ids.emplace(whole, static_cast<int32_t>(found.tokens.size())).second)
      found.tokens.push_back(whole);
    found.merges.emplace_back(left, right);
    for (auto& [word, count] : words) {
      Ids merged;
      for (size_t i = 0; i < word.size(); ++i) {
        const bool both = i + 1 < word.size() && word[i] == left && word[i + 1] == right;
        merged.push_back(both ? ids.at(whole) : word[i]);
        i += both;
      }
      word = merged;
    }
  }
  return found;
}

Vocabulary vocabulary_of(const Tokenizer& tokenizer) {
  return parse_tokenizer_json(tokenizer.to_json(), "test").vocabulary;
}

TEST(BpeTrainer, LearnsByTheLetter) {
  Draw draw(12);
  const std::vector<std::string> texts = {language(1, 400), language(2, 150) + hard_text(draw, 200),
                                          broken_text(draw, 300), std::string(37, 'a') + " aaaaa",
                                          "ab ab ba ba cd cd dc dc"};
  for (const std::string& text : texts) {
    const Vocabulary expected = by_the_letter(text, 400);
    const auto learnt = static_cast<int64_t>(expected.tokens.size());
    Vocabulary found = vocabulary_of(trained(text, learnt + 1));
    EXPECT_EQ(found.tokens.back(), "<|endoftext|>");
    found.tokens.pop_back();
    EXPECT_EQ(found.tokens, expected.tokens) << text.substr(0, 60);
    EXPECT_EQ(found.merges, expected.merges) << text.substr(0, 60);
  }
}

TEST(BpeTrainer, OfEqualPairsTheLeastIsMerged) {
  // Four pairs, twice each; 'a' < 'b' < 'x' < 'y' as ids.
  const Vocabulary found = vocabulary_of(trained("yx\nba\nab\nxy\nyx\nba\nab\nxy", 261));
  const std::vector<std::string> learnt(found.tokens.begin() + 256, found.tokens.end() - 1);
  EXPECT_EQ(learnt, std::vector<std::string>({"ab", "ba", "xy", "yx"}));
}

TEST(BpeTrainer, DependsNeitherOnThreadsNorOnHowTextIsCut) {
  std::string text;
  for (uint64_t seed = 0; seed < 8; ++seed) text += language(seed, 30'000);
  const Tokenizer expected = trained(text, 2000, 1);
  for (const int threads : {2, 3, 7}) {
    EXPECT_EQ(trained(text, 2000, threads).to_json(), expected.to_json()) << threads;
  }
  BpeTrainer trainer({.vocab_size = 2000, .threads = 3});
  Draw draw(13);
  std::vector<std::string> documents;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.size(), at + draw.below(5000) + 1);
    while (end < text.size() && text[end] != '\n') ++end;  // where the pattern splits
    documents.push_back(text.substr(at, end - at));
    at = end;
  }
  for (size_t i = documents.size(); i > 0; --i)  // in any order
    std::swap(documents[i - 1], documents[draw.below(i)]);
  for (const std::string& document : documents) trainer.push(document);
  EXPECT_EQ(trainer.train().to_json(), expected.to_json());
}

// More different pieces than a thread keeps to itself.
TEST(BpeTrainer, ManyDifferentPiecesAreAllCounted) {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += concat(" w", 100'000 + i, "x");
  text += " rare rare";
  const Tokenizer one = trained(text, 300, 1);
  BpeTrainer trainer({.vocab_size = 300, .threads = 4});
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.size(), at + 100'000);
    while (end < text.size() && text[end] != ' ') ++end;
    trainer.push(std::string_view(text).substr(at, end - at));
    at = end;
  }
  EXPECT_EQ(trainer.train().to_json(), one.to_json());
}

TEST(BpeTrainer, EveryLearntTokenIsMadeByEncodingIt) {
  const Tokenizer tokenizer = trained(language(4, 5000), 1500);
  std::set<std::string> seen;
  for (int32_t id = 0; id < tokenizer.end_of_text(); ++id) {
    const std::string bytes(tokenizer.token_bytes(id));
    EXPECT_TRUE(seen.insert(bytes).second) << bytes;
    EXPECT_EQ(tokenizer.encode(bytes), Ids({id})) << bytes;
  }
}

TEST(BpeTrainer, SpecialTokensAreTheLastIds) {
  const Tokenizer tokenizer =
      trained("some text, some text", 262, 1, {"<|endoftext|>", "<|user|>", "<|end|>"});
  EXPECT_EQ(tokenizer.vocab_size(), 262);
  EXPECT_EQ(tokenizer.end_of_text(), 259);
  EXPECT_EQ(tokenizer.id_of("<|user|>"), 260);
  EXPECT_EQ(tokenizer.encode("<|end|><|user|>"), Ids({261, 260}));
  // GPT-2's order: bytes by their stand-ins.
  EXPECT_EQ(tokenizer.encode("!a "), Ids({0, 'a' - '!', 220}));
}

TEST(BpeTrainer, SpecialTokensInTheTextAreText) {
  const Tokenizer tokenizer = trained("<|endoftext|><|endoftext|> x", 280);
  const Ids ids = tokenizer.encode("<|endoftext|>", {.special = false});
  EXPECT_EQ(std::count(ids.begin(), ids.end(), tokenizer.end_of_text()), 0);
  EXPECT_LT(ids.size(), 6u);  // it was learnt from
}

TEST(BpeTrainer, StopsWhereThereIsNothingMoreToLearn) {
  EXPECT_EQ(trained("abc", 1000).vocab_size(), 256 + 2 + 1);
  EXPECT_EQ(trained("a b c", 1000).vocab_size(), 256 + 2 + 1);
  EXPECT_EQ(trained("a", 257).vocab_size(), 257);
  EXPECT_EQ(trained("a", 300).vocab_size(), 257);
}

TEST(BpeTrainer, RefusesWhatCannotBe) {
  const auto with_size = [](int64_t size) {
    return error_of([&] { BpeTrainer({.vocab_size = size}); });
  };
  for (const int64_t size : {int64_t{256}, int64_t{0}, int64_t{-5}, int64_t{1} << 40})
    expect_in(with_size(size), {"vocab size", "257", std::to_string(size)});
  BpeTrainer trainer({.vocab_size = 300});
  trainer.push("");
  expect_in(error_of([&] { trainer.train(); }), {"no text"});
  const auto with_special = [](std::vector<std::string> special) {
    return error_of([&] { BpeTrainer({.vocab_size = 300, .special = std::move(special)}); });
  };
  expect_in(with_special({"<a>", "<a>"}), {"<a>", "twice"});
  expect_in(with_special({""}), {"empty"});
  expect_in(error_of([] { trained("the the the", 260, 1, {"the"}); }), {"'the'"});
}

TEST(BpeTrainer, TellsItsProgressAndEndsWhereThatThrows) {
  std::vector<int64_t> told;
  BpeTrainer trainer({.vocab_size = 400, .progress = [&](int64_t done, int64_t total) {
                        EXPECT_EQ(total, 400 - 257);
                        told.push_back(done);
                      }});
  trainer.push(language(5, 2000));
  trainer.train();
  ASSERT_GT(told.size(), 2u);
  EXPECT_EQ(told.front(), 0);
  EXPECT_EQ(told.back(), 400 - 257);
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));

  BpeTrainer other(
      {.vocab_size = 400, .progress = [](int64_t done, int64_t) { check(done < 50, "enough"); }});
  other.push(language(5, 2000));
  EXPECT_EQ(error_of([&] { other.train(); }), "enough");
}

TEST(BpeTrainer, WithoutTrainingNothingIsWaitedFor) {
  BpeTrainer trainer({.vocab_size = 400, .threads = 3});
  for (int i = 0; i < 20; ++i) trainer.push(language(6, 10'000));
}

}  // namespace
}  // namespace pointwork::test
