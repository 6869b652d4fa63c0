// Encoding and decoding: against merging by the letter, round trips, special tokens, streaming.

#include "pointwork/text/tokenizer.h"

#include <nlohmann/json.hpp>
#include <thread>

#include "pointwork/text/split.h"
#include "pointwork/text/stand_in.h"
#include "tests/data/byte_tokenizer.h"
#include "tests/text/cases.h"

namespace pointwork::test {
namespace {

using Json = nlohmann::ordered_json;

// Ids by the definition, from tokenizer.json alone: of each piece, again and again, the leftmost of
// the pairs that stand first in the list of merges.
class ByTheLetter {
 public:
  explicit ByTheLetter(const Tokenizer& tokenizer) {
    const nlohmann::json model = nlohmann::json::parse(tokenizer.to_json()).at("model");
    for (const auto& [token, id] : model.at("vocab").items()) ids_[token] = id.get<int32_t>();
    int rank = 0;
    for (const auto& merge : model.at("merges")) {
      const std::string text = merge.get<std::string>();
      const size_t space = text.find(' ');
      ranks_.emplace(std::pair(text.substr(0, space), text.substr(space + 1)), rank++);
    }
  }

  Ids encode(std::string_view text) const {
    Ids ids;
    for (size_t at = 0, end; at < text.size(); at = end) {
      end = piece_end(text, at);
      std::vector<std::string> parts;
      for (const char c : text.substr(at, end - at)) parts.push_back(to_stand_ins({&c, 1}));
      while (true) {
        int best = INT32_MAX;
        size_t where = 0;
        for (size_t i = 0; i + 1 < parts.size(); ++i) {
          const auto found = ranks_.find({parts[i], parts[i + 1]});
          if (found != ranks_.end() && found->second < best) {
            best = found->second;
            where = i;
          }
        }
        if (best == INT32_MAX) break;
        parts[where] += parts[where + 1];
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(where) + 1);
      }
      for (const std::string& part : parts) ids.push_back(ids_.at(part));
    }
    return ids;
  }

 private:
  std::map<std::string, int32_t> ids_;
  std::map<std::pair<std::string, std::string>, int> ranks_;
};

// GPT-2's first merges' kind, with long tokens: learnt from a small language and from noise.
const Tokenizer& small() {
  static const Tokenizer tokenizer = [] {
    Draw draw(5);
    return trained(language(1, 3000) + hard_text(draw, 3000) + std::string(50, 'a') + " " +
                       std::string(70, ' '),
                   900);
  }();
  return tokenizer;
}

TEST(Tokenizer, MergesByTheLetter) {
  const ByTheLetter reference(small());
  Draw draw(6);
  size_t tokens = 0, bytes = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string text =
        i % 2 == 0 ? hard_text(draw, draw.below(50)) : language(draw.below(1000), draw.below(30));
    const Ids ids = small().encode(text);
    ASSERT_EQ(ids, reference.encode(text)) << testing::PrintToString(text);
    tokens += ids.size();
    bytes += text.size();
  }
  EXPECT_LT(tokens * 3, bytes * 2);  // or nothing was merged
}

// Where pairs are looked at one by one, and where a heap holds them, around the border of the two.
TEST(Tokenizer, MergesLongPiecesByTheLetter) {
  const ByTheLetter reference(small());
  Draw draw(7);
  for (size_t length = 80; length < 400; length += draw.below(9) + 1) {
    std::string text;
    while (text.size() < length) {
      const std::string word = language(draw.below(50), 1);
      text += word.substr(0, word.find_first_of(" .,"));
    }
    ASSERT_EQ(small().encode(text), reference.encode(text)) << text;
    const std::string run(length, draw.one_of(std::string_view("a b")));
    ASSERT_EQ(small().encode(run), reference.encode(run)) << run;
  }
}

TEST(Tokenizer, AnyBytesRoundTrip) {
  std::string all;
  for (int a = 0; a < 256; ++a) all += static_cast<char>(a);
  EXPECT_EQ(small().decode(small().encode(all)), all);
  Draw draw(8);
  for (int i = 0; i < 2000; ++i) {
    std::string text = broken_text(draw, draw.below(60));
    if (i % 3 == 0) {
      for (char& c : text) c = static_cast<char>(draw.below(256));
    }
    const Ids ids = small().encode(text);
    ASSERT_EQ(small().decode(ids), text) << testing::PrintToString(text);
    std::string bytes;
    for (const int32_t id : ids) bytes += small().token_bytes(id);
    ASSERT_EQ(bytes, text);
  }
}

// Quadratic work would take hours.
TEST(Tokenizer, AMegabyteWithoutASpace) {
  Draw draw(9);
  std::string letters, bad;
  for (int i = 0; i < 1'000'000; ++i) {
    letters += static_cast<char>('a' + draw.below(4));
    bad += static_cast<char>(0x80 + draw.below(128));
  }
  for (const std::string& text : {std::string(1'000'000, 'a'), std::string(1'000'000, ' '),
                                  std::string(1'000'000, '\0'), letters, bad}) {
    const Ids ids = small().encode(text);
    EXPECT_LT(ids.size(), text.size() + 1);
    EXPECT_TRUE(small().decode(ids) == text);
  }
}

TEST(Tokenizer, EmptyTextHasNoIds) {
  EXPECT_EQ(small().encode(""), Ids());
  EXPECT_EQ(small().decode({}), "");
}

TEST(Tokenizer, AppendsToWhatIsThere) {
  Ids ids = {1, 2};
  small().encode_to("a banana", ids);
  Ids expected = small().encode("a banana");
  expected.insert(expected.begin(), {1, 2});
  EXPECT_EQ(ids, expected);
}

TEST(Tokenizer, EndOfTextIsTheLastId) {
  const int32_t end = small().end_of_text();
  EXPECT_EQ(end, small().vocab_size() - 1);
  EXPECT_EQ(small().id_of("<|endoftext|>"), end);
  EXPECT_TRUE(small().is_special(end));
  EXPECT_FALSE(small().is_special(0));
  EXPECT_FALSE(small().is_special(-1));
  EXPECT_FALSE(small().is_special(end + 1));
  EXPECT_EQ(small().id_of("a"), std::nullopt);
  const Ids both = {end, 0};
  EXPECT_EQ(small().decode(both), "<|endoftext|>!");
  EXPECT_EQ(small().decode(both, /*skip_special=*/true), "!");
}

TEST(Tokenizer, SpecialTokensInTextAreIdsOnlyWhereAsked) {
  const int32_t end = small().end_of_text();
  const std::string text = "one<|endoftext|><|endoftext|> two<|endof";
  Ids expected = small().encode("one");
  expected.insert(expected.end(), {end, end});
  for (const int32_t id : small().encode(" two<|endof")) expected.push_back(id);
  EXPECT_EQ(small().encode(text), expected);
  const Ids ordinary = small().encode(text, {.special = false});
  EXPECT_EQ(std::count(ordinary.begin(), ordinary.end(), end), 0);
  EXPECT_EQ(small().decode(ordinary), text);
}

TEST(Tokenizer, IdsOutOfRangeAreRefused) {
  const auto size = static_cast<int32_t>(small().vocab_size());
  for (const int32_t id : {-1, size, INT32_MAX, INT32_MIN}) {
    const std::string error = error_of([&] { small().decode(Ids{0, id}); });
    expect_in(error, {std::to_string(id), std::to_string(size - 1)});
    error_of([&] { small().token_bytes(id); });
  }
}

// A tokenizer of bytes with these added tokens, whose ids begin at 256.
Tokenizer with_added(const Json& added) {
  Json json = Json::parse(byte_tokenizer());
  json["added_tokens"] = Json::array();
  for (const Json& token : added) {
    Json one = token;
    one["id"] = 256 + json["added_tokens"].size();
    json["added_tokens"].push_back(one);
  }
  return Tokenizer::parse(json.dump(), "test");
}

TEST(Tokenizer, OfAddedTokensTheLeftmostThenTheLongestIsFound) {
  const Tokenizer tokenizer = with_added({{{"content", "<a>"}, {"special", true}},
                                          {{"content", "<a><b>"}, {"special", false}},
                                          {{"content", "a>x"}, {"special", true}},
                                          {{"content", "  "}, {"special", false}}});
  EXPECT_EQ(tokenizer.encode("<a><b><a>x<a"), Ids({257, 256, 'x', '<', 'a'}));
  EXPECT_EQ(tokenizer.encode("a>x   ."), Ids({258, 259, ' ', '.'}));
  EXPECT_FALSE(tokenizer.is_special(257));
  EXPECT_EQ(tokenizer.decode(Ids{256, 257, 259}, /*skip_special=*/true), "<a><b>  ");
  EXPECT_EQ(tokenizer.id_of("  "), 259);
  expect_in(error_of([&] { tokenizer.end_of_text(); }), {"<|endoftext|>"});
}

// As Hugging Face does: tokens that are not normalized are looked for first.
TEST(Tokenizer, NormalizedAddedTokensAreLookedForLast) {
  const Tokenizer tokenizer = with_added(
      {{{"content", "<ab"}, {"normalized", true}}, {{"content", "b>"}, {"normalized", false}}});
  EXPECT_EQ(tokenizer.encode("<ab><ab"), Ids({'<', 'a', 257, 256}));
}

TEST(Tokenizer, TokenizersInTurnsAndThreadsDoNotDisturbEachOther) {
  const Tokenizer bytes = Tokenizer::parse(byte_tokenizer(), "test");
  const Tokenizer other = trained(language(2, 2000), 400);
  const std::string text = language(1, 500);
  const Ids expected[] = {small().encode(text), bytes.encode(text), other.encode(text)};
  EXPECT_NE(expected[0], expected[2]);
  EXPECT_EQ(expected[1].size(), text.size());
  std::vector<std::thread> threads;
  std::array<int, 3> wrong{};
  for (int& mine : wrong) {
    threads.emplace_back([&] {
      for (int round = 0; round < 30; ++round) {
        mine += small().encode(text) != expected[0];
        mine += bytes.encode(text) != expected[1];
        mine += other.encode(text) != expected[2];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, (std::array<int, 3>{}));
}

TEST(Tokenizer, ReadsWhatItWrites) {
  const Tokenizer again = Tokenizer::parse(small().to_json(), "test");
  EXPECT_EQ(again.hash(), small().hash());
  EXPECT_EQ(again.to_json(), small().to_json());
  EXPECT_EQ(again.vocab_size(), small().vocab_size());
  const std::string text = language(3, 300);
  EXPECT_EQ(again.encode(text), small().encode(text));
}

TEST(Tokenizer, HashIsOfWhatIdsMean) {
  const std::string hash = small().hash();
  EXPECT_EQ(hash.size(), 32u);
  const auto changed = [&](const char* part, const std::function<void(Json&)>& change) {
    Json json = Json::parse(small().to_json());
    change(json);
    EXPECT_NE(Tokenizer::parse(json.dump(), part).hash(), hash) << part;
  };
  changed("a merge less", [](Json& json) { json["model"]["merges"].erase(100); });
  changed("merges the other way round",
          [](Json& json) { std::swap(json["model"]["merges"][3], json["model"]["merges"][4]); });
  changed("ids the other way round", [](Json& json) {
    Json& vocab = json["model"]["vocab"];
    std::swap(vocab["a"], vocab["b"]);
  });
  changed("no special token", [](Json& json) { json["added_tokens"][0]["special"] = false; });
  // Spelling makes no difference.
  const Json json = Json::parse(small().to_json());
  EXPECT_EQ(Tokenizer::parse(json.dump(4), "test").hash(), hash);
}

TEST(StreamDecoder, NeverEmitsHalfACharacter) {
  Draw draw(10);
  const Tokenizer bytes = Tokenizer::parse(byte_tokenizer(), "test");
  for (int i = 0; i < 2000; ++i) {
    const std::string text =
        i % 2 == 0 ? hard_text(draw, draw.below(20) + 1) : broken_text(draw, draw.below(20) + 1);
    for (const Tokenizer* tokenizer : {&small(), &bytes}) {
      StreamDecoder decoder(*tokenizer);
      std::string streamed;
      std::string fed;
      for (const int32_t id : tokenizer->encode(text)) {
        const std::string now = decoder.push(id);
        ASSERT_EQ(lossy(now), now);
        streamed += now;
        fed += tokenizer->token_bytes(id);
        // Nothing is held back but the beginning of one character.
        ASSERT_LT(fed.size() - std::min(fed.size(), streamed.size()), 4u);
      }
      streamed += decoder.finish();
      ASSERT_EQ(streamed, lossy(text)) << testing::PrintToString(text);
      ASSERT_EQ(decoder.finish(), "");
    }
  }
}

TEST(StreamDecoder, HoldsBackUntilSure) {
  const Tokenizer tokenizer = Tokenizer::parse(byte_tokenizer(), "test");
  const auto id = [&](int byte) {
    return tokenizer.encode(std::string(1, static_cast<char>(byte)))[0];
  };
  StreamDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.push(id(0xF0)), "");
  EXPECT_EQ(decoder.push(id(0x9F)), "");
  EXPECT_EQ(decoder.push(id(0x98)), "");
  EXPECT_EQ(decoder.push(id(0x80)), "\xF0\x9F\x98\x80");
  EXPECT_EQ(decoder.push(id(0xE4)), "");
  EXPECT_EQ(decoder.push(id('a')),
            "\xEF\xBF\xBD"
            "a");
  EXPECT_EQ(decoder.push(id(0x80)), "\xEF\xBF\xBD");
  EXPECT_EQ(decoder.push(id(0xC3)), "");
  EXPECT_EQ(decoder.push(tokenizer.end_of_text()), "\xEF\xBF\xBD<|endoftext|>");
  EXPECT_EQ(decoder.push(id(0xC3)), "");
  EXPECT_EQ(decoder.finish(), "\xEF\xBF\xBD");
}

}  // namespace
}  // namespace pointwork::test
