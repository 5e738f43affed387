// The pages that come in the second chunk, all at once: few requests matter more than the last kilobyte.
export { Device } from "./device.jsx";
export { Assets } from "./assets.jsx";
export { Asset } from "./asset.jsx";
export { Campaigns } from "./campaigns.jsx";
export { NewCampaign } from "./campaign_new.jsx";
export { Campaign } from "./campaign.jsx";
export { Run } from "./run.jsx";
export { Captures } from "./captures.jsx";
export { Capture } from "./capture.jsx";
export { Audit } from "./audit.jsx";
export { Setup } from "./setup.jsx";
export { Groups } from "./groups.jsx";
export { Group } from "./group.jsx";
export { Product } from "./product.jsx";
export { Rollouts } from "./rollouts.jsx";
export { Rollout } from "./rollout.jsx";
export { NewRollout } from "./rollout_new.jsx";
