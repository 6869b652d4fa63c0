#pragma once
// The shape that the classes of others share: embedding, layers of one attention and one
// feed-forward part each, norm, head.

#include <optional>
#include <string>
#include <vector>

#include "pointwork/config/config.h"

namespace pointwork {

// Of a layer; pointers into the config. Places are paths in the module tree, "layers.0.attention".
struct LayerLayout {
  bool parallel = false;  // both parts read the same row of the stream, each behind its own norm
  const AttentionConfig* attention = nullptr;
  const MlpConfig* mlp = nullptr;         // the feed-forward part, or each of its experts
  const RoutedConfig* experts = nullptr;  // null: a dense layer
  const MlpConfig* shared = nullptr;      // an expert that every token takes, weighed by a sigmoid
  std::string attention_at, mlp_at, norm_at;           // norm_at: of the norm before the mlp
  std::string router_at, shared_at, shared_router_at;  // "": absent
};

// Nothing where a layer has another shape.
std::optional<std::vector<LayerLayout>> layouts_of(const Config& config);

// Whether two configs of that shape compute the same from the same weights outside training,
// whatever their branches are called.
bool same_computation(const Config& a, const Config& b);

}  // namespace pointwork
