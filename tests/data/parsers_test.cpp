#include <cstring>

#include "tests/data/cases.h"

namespace pointwork::test {
namespace {

using Texts = std::vector<std::string>;

SourceOptions as(InputFormat format) { return {.format = format}; }

TEST(Parsers, TextFileIsOneDocumentUnlessSeparated) {
  const TemporaryFolder folder;
  EXPECT_EQ(texts({write(folder / "a.txt", "one\ntwo\n")}), Texts({"one\ntwo\n"}));
  const fs::path divided = write(
      folder / "b.txt", "one\n<|endoftext|>\n\ntwo<|endoftext|>\r\n<|endoftext|>\r\n<|endoftext|>");
  EXPECT_EQ(texts({divided}), Texts({"one\n", "\ntwo<|endoftext|>\r\n"}));
  EXPECT_EQ(texts({divided}, {.separator = ""}).size(), 1u);
  EXPECT_EQ(texts({write(folder / "c.txt", "\xEF\xBB\xBFtext")}), Texts({"text"}));
}

TEST(Parsers, WikiextractorMarksAreNotPartOfDocuments) {
  const TemporaryFolder folder;
  const std::string file =
      "<doc id=\"1\" url=\"u\" title=\"One\">\nOne\n\nFirst text.\n\n</doc>\n"
      "<doc id=\"2\" url=\"u\" title=\"Two\">\nTwo\n<b> and </doc> inside a line\n</doc>\n\n"
      "<doc id=\"3\" url=\"u\" title=\"Empty\">\n</doc>\n";
  const Texts expected = {"One\n\nFirst text.\n\n", "Two\n<b> and </doc> inside a line\n"};
  EXPECT_EQ(texts({write(folder / "wiki_00", file)}, as(InputFormat::wikiextractor)), expected);
  std::vector<std::string> notes;
  const SourceOptions listening{.note = [&](const std::string& note) { notes.push_back(note); }};
  EXPECT_EQ(texts({write(folder / "wiki.txt", file)}, listening), expected);
  ASSERT_EQ(notes.size(), 1u);
  expect_in(notes[0], {"wiki.txt", "wikiextractor", "--format text"});
  EXPECT_EQ(texts({folder / "wiki.txt"}, as(InputFormat::text)), Texts({file}));
}

TEST(Parsers, WikiextractorRefusesWhatIsNone) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& content) {
    const fs::path path = write(folder / "wiki.txt", content);
    return error_of([&] { texts({path}, as(InputFormat::wikiextractor)); });
  };
  expect_in(refused("<doc id=\"1\">\ntext\n"), {"wiki.txt", "line 1", "cut short"});
  expect_in(refused("<doc id=\"1\">\na\n<doc id=\"2\">\nb\n</doc>\n"), {"wiki.txt:3", "line 1"});
  expect_in(refused("<doc id=\"1\">\n</doc>\n</doc>\n"), {"wiki.txt:3"});
  expect_in(refused("plain text\n"), {"wiki.txt:1", "outside"});
}

TEST(Parsers, RealWikipediaHasNoMarksLeft) {
  const fs::path data = data_folder();
  if (data.empty()) GTEST_SKIP() << "no data (POINTWORK_DATA)";
  size_t documents = 0;
  for (const std::string& text : texts({data / "wikipedia-en"}, as(InputFormat::wikiextractor))) {
    ++documents;
    EXPECT_EQ(text.find("<doc "), std::string::npos);
    EXPECT_EQ(text.find("</doc>"), std::string::npos);
  }
  EXPECT_GT(documents, 100u);
}

TEST(Parsers, JsonLinesGiveTheirField) {
  const TemporaryFolder folder;
  const fs::path path = write(folder / "a.jsonl",
                              "{\"text\": \"one\\n\\u00e9\", \"id\": 1}\r\n\n  \n{\"text\": "
                              "\"\"}\n{\"text\": \"two\", \"body\": \"other\"}");
  EXPECT_EQ(texts({path}), Texts({"one\n\xC3\xA9", "two"}));
  expect_in(error_of([&] { texts({path}, {.field = "body"}); }),
            {"a.jsonl:1", "'body'", "--field", "id, text"});
  const auto refused = [&](const std::string& content) {
    return error_of([&, bad = write(folder / "b.jsonl", content)] { texts({bad}); });
  };
  expect_in(refused("{\"text\": \"a\"}\n{\"text\": \n"), {"b.jsonl:2", "not a JSON object"});
  expect_in(refused("[1, 2]\n"), {"b.jsonl:1", "array"});
  expect_in(refused("{\"text\": 3}\n"), {"b.jsonl:1", "'text'", "number"});
}

TEST(Parsers, LongLinesAndSmallPiecesChangeNothing) {
  const TemporaryFolder folder;
  std::string text;
  while (text.size() < (3u << 20))
    text += concat("word", text.size(), text.size() % 7 ? " " : "\n");
  const fs::path plain = write(folder / "a.txt", text);
  std::string one_line = text;
  for (char& c : one_line) c = c == '\n' ? ' ' : c;
  const fs::path lines =
      write(folder / "b.jsonl", "{\"text\": \"" + one_line + "\"}\n{\"text\": \"end\"}\n");
  for (const size_t piece : {size_t{64}, size_t{1000}, size_t{1} << 22}) {
    EXPECT_EQ(texts({plain}, {.piece_bytes = piece}), Texts({text}));
    EXPECT_EQ(texts({lines}, {.piece_bytes = piece}), Texts({one_line, "end"}));
  }
}

std::string little_endian(const std::vector<uint32_t>& values, size_t width) {
  std::string bytes;
  for (const uint32_t value : values) bytes.append(reinterpret_cast<const char*>(&value), width);
  return bytes;
}

std::string llmc(int32_t magic, int32_t version, int32_t count, const std::vector<uint32_t>& ids,
                 size_t width) {
  std::string header(1024, '\0');
  const int32_t fields[] = {magic, version, count};
  std::memcpy(header.data(), fields, sizeof fields);
  return header + little_endian(ids, width);
}

std::vector<int32_t> tokens(const fs::path& path, const SourceOptions& options = {}) {
  DocumentReader reader({path}, options);
  std::vector<int32_t> all;
  Document document;
  while (reader.next(document)) {
    EXPECT_TRUE(reader.holds_tokens());
    all.insert(all.end(), document.tokens.begin(), document.tokens.end());
  }
  EXPECT_TRUE(document.ends);
  return all;
}

TEST(Parsers, TokenFiles) {
  const TemporaryFolder folder;
  const std::vector<int32_t> expected = {7, 65535, 0, 256};
  EXPECT_EQ(tokens(write(folder / "raw.bin", little_endian({7, 65535, 0, 256}, 2))), expected);
  EXPECT_EQ(tokens(write(folder / "gpt2.bin", llmc(20240520, 1, 4, {7, 65535, 0, 256}, 2))),
            expected);
  EXPECT_EQ(tokens(write(folder / "llama.bin", llmc(20240801, 7, 2, {128000, 5}, 4))),
            std::vector<int32_t>({128000, 5}));
  // Over a piece's length, with an odd remainder.
  std::vector<uint32_t> many((1u << 20) * 2 + 1);
  for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<uint32_t>(i % 65536);
  const std::vector<int32_t> read = tokens(write(folder / "many.bin", little_endian(many, 2)));
  EXPECT_TRUE(std::equal(read.begin(), read.end(), many.begin(), many.end()));
}

TEST(Parsers, DamagedTokenFilesAreRefused) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& content,
                           InputFormat format = InputFormat::automatic) {
    return error_of([&, bad = write(folder / "x.bin", content)] { tokens(bad, as(format)); });
  };
  expect_in(refused(little_endian({1, 2}, 2) + "x"), {"x.bin", "inside a token"});
  expect_in(refused(llmc(20240520, 1, 5, {1, 2, 3}, 2)), {"x.bin", "5 tokens", "3 follow"});
  expect_in(refused(llmc(20240520, 1, 2, {1, 2, 3}, 2)), {"x.bin", "2 tokens", "3 follow"});
  expect_in(refused(llmc(20240520, 2, 1, {1}, 2)), {"x.bin", "version must be 1", "is 2"});
  expect_in(refused(llmc(20240520, 1, -1, {1}, 2)), {"x.bin", "-1 tokens"});
  expect_in(refused(llmc(20240520, 1, 1, {1}, 2).substr(0, 600)), {"x.bin", "header"});
  expect_in(refused(little_endian({1, 2}, 2), InputFormat::llmc), {"x.bin", "20240520"});
  expect_in(refused(llmc(20240801, 7, 1, {0xFFFFFFFFu}, 4)), {"x.bin", "token 0", "4294967295"});
}

TEST(Parsers, FormatNames) {
  EXPECT_EQ(input_format("jsonl"), InputFormat::jsonl);
  try {
    input_format("josnl");
    ADD_FAILURE();
  } catch (const UsageError& error) {
    expect_in(error.what(), {"josnl", "wikiextractor", "jsonl"});
  }
}

}  // namespace
}  // namespace pointwork::test
