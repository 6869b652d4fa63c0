#pragma once
// From a piece of text to ids.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pointwork/text/piece_hash.h"

namespace pointwork {

// Immutable; a piece's ids depend on its bytes alone.
class PieceModel {
 public:
  virtual ~PieceModel() = default;
  virtual void encode(std::string_view piece, std::vector<int32_t>& ids) const = 0;  // appends
};

// Pieces as a model knows them, and their ids.
class PieceMap {
 public:
  // Error on a piece that is there twice.
  void add(std::string piece, int32_t id);
  int32_t find(std::string_view piece) const {  // -1 where there is none
    const auto found = ids_.find(piece);
    return found == ids_.end() ? -1 : found->second;
  }
  // The ids of "<0x00>" to "<0xFF>"; -1 where there is none.
  std::array<int32_t, 256> byte_tokens() const;
  // Whether no piece has `mark` behind anything but `mark`, and it is a piece itself: then a text
  // may be divided before a mark that follows something else.
  bool may_cut_before(std::string_view mark) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view piece) const {
      return static_cast<size_t>(piece_hash(piece) >> 7);
    }
  };
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> ids_;
};

inline constexpr std::string_view kWordMark = "\xE2\x96\x81";  // U+2581, a space in many models

}  // namespace pointwork
