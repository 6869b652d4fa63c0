#include "pointwork/route/router.h"

#include "pointwork/route/depth_router.h"
#include "pointwork/route/token_router.h"

namespace pointwork {

std::shared_ptr<Router> make_router(const RouterOptions& options, const RouteConfig& config) {
  if (config.by_token()) return std::make_shared<TokenRouter>(options, config);
  return std::make_shared<DepthRouter>(options.name, options.size, config);
}

}  // namespace pointwork
