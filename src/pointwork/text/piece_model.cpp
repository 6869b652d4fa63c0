#include "pointwork/text/piece_model.h"

#include "pointwork/base/check.h"
#include "pointwork/base/printable.h"

namespace pointwork {

void PieceMap::add(std::string piece, int32_t id) {
  const auto [place, fresh] = ids_.emplace(std::move(piece), id);
  check(fresh, "the piece '", printable(place->first), "' is there twice, as ids ", place->second,
        " and ", id);
}

std::array<int32_t, 256> PieceMap::byte_tokens() const {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::array<int32_t, 256> ids{};
  for (size_t byte = 0; byte < ids.size(); ++byte)
    ids[byte] = find(concat("<0x", kDigits[byte >> 4], kDigits[byte & 15], ">"));
  return ids;
}

bool PieceMap::may_cut_before(std::string_view mark) const {
  if (find(mark) < 0) return false;
  for (const auto& [piece, id] : ids_) {
    std::string_view rest = piece;
    while (rest.starts_with(mark)) rest.remove_prefix(mark.size());
    if (rest.find(mark) != rest.npos) return false;
  }
  return true;
}

}  // namespace pointwork
