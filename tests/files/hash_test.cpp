#include "pointwork/files/hash.h"

#include <set>

#include "tests/files/cases.h"

namespace pointwork::test {
namespace {

std::span<const std::byte> bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

// Of the reference implementation, seed 0.
TEST(Hash, GivesTheKnownAnswersOfXxh3128) {
  EXPECT_EQ(hash_bytes({}), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(hash_bytes(bytes("a")), "a96faf705af16834e6c632b61e964e1f");
}

TEST(Hash, InPiecesIsTheHashOfTheWhole) {
  std::string text(3000, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * i);
  for (const size_t piece : {1u, 7u, 64u, 1023u, 3000u}) {
    Hasher hasher;
    for (size_t at = 0; at < text.size(); at += piece) hasher.update(bytes(text.substr(at, piece)));
    EXPECT_EQ(hasher.digest(), hash_bytes(bytes(text))) << piece;
    EXPECT_EQ(hasher.digest(), hash_bytes(bytes(text))) << "a digest changes nothing";
  }
}

TEST(Hash, OfAFileIsThatOfItsBytes) {
  const TemporaryFolder folder;
  std::string text((1 << 21) + 17, 'q');
  for (const size_t size : {size_t{0}, size_t{1}, size_t{1} << 20, text.size()})
    EXPECT_EQ(hash_file(put(folder / "a", text.substr(0, size))),
              hash_bytes(bytes(text.substr(0, size))));
}

TEST(Hash, OfEveryChangedBitDiffers) {
  std::string text = "pointwork";
  std::set<std::string> seen{hash_bytes(bytes(text))};
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string changed = text;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    seen.insert(hash_bytes(bytes(changed)));
  }
  EXPECT_EQ(seen.size(), 1 + text.size() * 8);
}

TEST(Hash, OfAFileThatCannotBeReadIsAnError) {
  const TemporaryFolder folder;
  expect_in(error_of([&] { hash_file(folder / "absent"); }), {"absent: cannot be read: No such"});
  expect_in(error_of([&] { hash_file(folder.path()); }), {"cannot be read: Is a directory"});
}

}  // namespace
}  // namespace pointwork::test
