// The signed limits of one version of a diagnostic image.
import { at } from "./api.js";
import { useResource } from "./resource.js";

export const imageHref = (product, image, tail = "") => `/images/${encodeURIComponent(product)}/${encodeURIComponent(image)}${tail}`;

/* Null until they are known. */
export function useLimits(image, version) {
    const newest = version === image.newest && image.limits;
    const path = at`/assets/${image.product}/${image.name}/versions/${version}`;
    const detail = useResource(newest ? null : path);
    return newest || (detail.path === path ? detail.data?.manifest?.limits : null) || null;
}
