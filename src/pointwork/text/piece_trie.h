#pragma once
// Which pieces text begins with.

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pointwork {

class PieceTrie {
 public:
  static constexpr int32_t kNone = -1;

  PieceTrie() : values_(1, kNone) { root_.fill(kNone); }

  void add(std::string_view piece, int32_t value) {  // value is 0 or more
    int32_t node = 0;
    for (const char c : piece) {
      int32_t to = next(node, c);
      if (to == kNone) {
        to = static_cast<int32_t>(values_.size());
        values_.push_back(kNone);
        link(node, c, to);
      }
      node = to;
    }
    values_[static_cast<size_t>(node)] = value;
  }

  bool empty() const { return values_.size() == 1; }
  int32_t value(int32_t node) const { return values_[static_cast<size_t>(node)]; }
  // The node after one more byte, kNone where no piece goes on so. The root is 0.
  int32_t next(int32_t node, char c) const {
    if (node == 0) return root_[static_cast<unsigned char>(c)];
    if (edges_.empty()) return kNone;
    const uint64_t key = key_of(node, c);
    for (size_t at = place(key);; at = (at + 1) & (edges_.size() - 1)) {
      if (edges_[at].key == key) return edges_[at].to;
      if (edges_[at].key == 0) return kNone;
    }
  }

  // The bytes of the longest piece that text begins with; 0 where there is none.
  size_t longest(std::string_view text) const {
    size_t found = 0;
    int32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = next(node, text[i]);
      if (node == kNone) break;
      if (value(node) != kNone) found = i + 1;
    }
    return found;
  }

 private:
  struct Edge {
    uint64_t key = 0;
    int32_t to = kNone;
  };
  static uint64_t key_of(int32_t node, char c) {
    return uint64_t{static_cast<uint32_t>(node)} << 8 | static_cast<unsigned char>(c);
  }
  size_t place(uint64_t key) const {
    return static_cast<size_t>(key * 0x9E3779B97F4A7C15u >> 32) & (edges_.size() - 1);
  }
  void link(int32_t node, char c, int32_t to) {
    if (node == 0) {
      root_[static_cast<unsigned char>(c)] = to;
      return;
    }
    if (++used_ * 2 > edges_.size()) {
      std::vector<Edge> old(std::max<size_t>(16, edges_.size() * 2));
      old.swap(edges_);
      for (const Edge& edge : old) {
        if (edge.key != 0) put(edge);
      }
    }
    put({key_of(node, c), to});
  }
  void put(const Edge& edge) {
    size_t at = place(edge.key);
    while (edges_[at].key != 0) at = (at + 1) & (edges_.size() - 1);
    edges_[at] = edge;
  }

  std::array<int32_t, 256> root_;
  std::vector<int32_t> values_;  // by node
  std::vector<Edge> edges_;      // open addressing, at most half full
  size_t used_ = 0;
};

}  // namespace pointwork
