//! What web applications keep of a visitor: express-session's and Passport's shapes, those of NextAuth, Django and
//! Laravel, and what applications add.

use serde_json::{Value, json};

use super::prose::{sentence, title};
use super::vary::{Vary, join};

/// A session of any kind.
pub(crate) fn any(vary: &mut Vary) -> Value {
    let head = match vary.below(10) {
        0..5 => express(vary),
        5 => next_auth(vary),
        6 => python_or_php(vary),
        7..9 => user_session(vary),
        _ => tokens(vary),
    };
    let more = extras(vary);
    let more = vary.some(18, more);
    if vary.chance(20) { join(more, head) } else { join(head, more) }
}

fn cookie(vary: &mut Vary) -> Value {
    let age =
        vary.pick(&[&86_400_000_u64, &604_800_000, &2_592_000_000, &3_600_000, &1_800_000, &1_209_600_000]);
    let same_site = vary.pick(&["lax", "strict", "none"]);
    let all = match vary.below(4) {
        0 => json!({"originalMaxAge": null, "expires": null, "httpOnly": true, "path": "/"}),
        1 => {
            json!({"originalMaxAge": age, "expires": vary.iso(), "secure": vary.chance(50), "httpOnly": true, "path": "/"})
        }
        2 => {
            json!({"originalMaxAge": age, "expires": vary.iso(), "secure": true, "httpOnly": true, "domain": ".example.com", "path": "/", "sameSite": same_site})
        }
        _ => {
            json!({"originalMaxAge": age, "expires": vary.iso(), "secure": vary.chance(50), "httpOnly": true, "path": "/", "sameSite": same_site})
        }
    };
    json!({"cookie": all})
}

fn id(vary: &mut Vary) -> Value {
    match vary.below(5) {
        0 => json!(vary.between(1, 99_999)),
        1 => json!(vary.hex(24)),
        2 => json!(format!("user_{}", vary.base62(16))),
        3 => json!(format!("google-oauth2|{}{}", vary.millis(), vary.below(99_999_999))),
        _ => json!(vary.uuid()),
    }
}

fn roles(vary: &mut Vary) -> Value {
    let one = vary.pick(&[
        "user",
        "admin",
        "editor",
        "viewer",
        "member",
        "owner",
        "customer",
        "manager",
        "moderator",
    ]);
    if vary.chance(30) { json!(["user", one]) } else { json!([one]) }
}

fn user(vary: &mut Vary) -> Value {
    let (name, email) = (vary.name(), vary.email());
    let (first, last) = name.split_once(' ').unwrap_or_default();
    let base = match vary.below(4) {
        0 => json!({"id": id(vary), "email": email, "name": name}),
        1 => {
            json!({"id": id(vary), "username": last.to_lowercase(), "email": email, "firstName": first, "lastName": last})
        }
        2 => json!({"_id": vary.hex(24), "email": email, "displayName": name}),
        _ => {
            json!({"sub": id(vary), "name": name, "given_name": first, "family_name": last, "email": email, "email_verified": true})
        }
    };
    const PERMISSIONS: &[&str] =
        &["read", "write", "users:read", "users:write", "orders:read", "posts:delete"];
    let permissions = &PERMISSIONS[..vary.between(1, PERMISSIONS.len())];
    let more = json!({
        "role": vary.pick(&["user", "admin"]), "roles": roles(vary), "permissions": permissions,
        "avatar": format!("https://www.gravatar.com/avatar/{}", vary.hex(32)), "picture": format!("https://lh3.googleusercontent.com/a/{}=s96-c", vary.base64(40)), "image": null,
        "emailVerified": vary.chance(70), "isAdmin": false, "isActive": true, "verified": true, "locale": "en-US", "language": "en", "createdAt": vary.iso(), "updatedAt": vary.iso(), "lastLogin": vary.iso(),
        "tenantId": vary.uuid(), "organizationId": vary.uuid(), "plan": vary.pick(&["free", "pro", "enterprise"]), "provider": vary.pick(&["google", "github", "local"]), "phone": null,
    });
    let more = vary.some(22, more);
    join(base, more)
}

fn express(vary: &mut Vary) -> Value {
    let cookie = cookie(vary);
    let rest = match vary.below(5) {
        0 => json!({"passport": {"user": id(vary)}}),
        1 => json!({"passport": {"user": user(vary)}}),
        2 => json!({"userId": id(vary), "isAuthenticated": true, "role": vary.pick(&["user", "admin"])}),
        3 => json!({"user": user(vary), "isLoggedIn": true}),
        _ => json!({"user": user(vary)}),
    };
    join(cookie, rest)
}

fn next_auth(vary: &mut Vary) -> Value {
    json!({"user": {"name": vary.name(), "email": vary.email(), "image": format!("https://avatars.githubusercontent.com/u/{}?v=4", vary.below(99_999_999))}, "expires": vary.iso(), "sessionToken": vary.uuid(), "userId": id(vary), "accessToken": vary.base64(40)})
}

fn tokens(vary: &mut Vary) -> Value {
    let access = match vary.below(4) {
        0 => format!("ya29.{}", vary.base64(120)),
        1 => format!("gho_{}", vary.base62(36)),
        _ => vary.jwt(),
    };
    match vary.below(3) {
        0 => {
            json!({"access_token": access, "refresh_token": vary.base64(43), "token_type": "Bearer", "expires_in": 3600, "expires_at": vary.unix(), "scope": "openid profile email offline_access", "id_token": vary.jwt()})
        }
        1 => {
            json!({"accessToken": access, "refreshToken": vary.base64(43), "tokenType": "Bearer", "expiresAt": vary.millis(), "userId": id(vary), "scopes": ["openid", "profile", "email"]})
        }
        _ => {
            json!({"oauth": {"provider": vary.pick(&["google", "github", "microsoft", "facebook"]), "accessToken": access, "refreshToken": null, "state": vary.base64(32), "nonce": vary.base64(32), "codeVerifier": vary.base64(43)}})
        }
    }
}

fn python_or_php(vary: &mut Vary) -> Value {
    match vary.below(3) {
        0 => {
            json!({"_auth_user_id": vary.below(9999).to_string(), "_auth_user_backend": "django.contrib.auth.backends.ModelBackend", "_auth_user_hash": vary.hex(64), "_csrftoken": vary.base62(32)})
        }
        1 => {
            json!({"_permanent": true, "_fresh": true, "_user_id": vary.below(9999).to_string(), "_id": vary.hex(128), "csrf_token": vary.hex(40), "_flashes": [["message", sentence(vary)]]})
        }
        _ => {
            json!({"_token": vary.base62(40), "_previous": {"url": "https://www.example.com/dashboard"}, "_flash": {"old": [], "new": []}, "url": {"intended": "https://www.example.com/"}, "login_web_59ba36addc2b2f9401580f014c7f58ea4e30989d": vary.below(9999), "locale": "en"})
        }
    }
}

fn user_session(vary: &mut Vary) -> Value {
    let (created, seen, end) = (vary.iso(), vary.iso(), vary.iso());
    match vary.below(3) {
        0 => {
            json!({"sessionId": vary.uuid(), "userId": id(vary), "email": vary.email(), "roles": roles(vary), "createdAt": created, "lastActivity": seen, "expiresAt": end, "ip": vary.ip(), "userAgent": agent(vary)})
        }
        1 => {
            json!({"user_id": id(vary), "username": vary.name().to_lowercase().replace(' ', "_"), "roles": roles(vary), "created_at": vary.millis(), "last_seen": vary.millis(), "expires_at": vary.millis(), "ip_address": vary.ip(), "user_agent": agent(vary), "is_active": true})
        }
        _ => {
            json!({"id": vary.uuid(), "user": user(vary), "createdAt": vary.millis(), "updatedAt": vary.millis(), "lastAccessedAt": vary.millis(), "device": {"type": vary.pick(&["desktop", "mobile", "tablet"]), "os": vary.pick(&["Windows", "macOS", "iOS", "Android", "Linux"]), "browser": vary.pick(&["Chrome", "Firefox", "Safari", "Edge"])}})
        }
    }
}

fn agent(vary: &mut Vary) -> String {
    let chrome = format!("{}.0.0.0", vary.between(110, 150));
    match vary.below(6) {
        0 => format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{chrome} Safari/537.36"
        ),
        1 => format!(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{chrome} Safari/537.36"
        ),
        2 => format!(
            "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0",
            vary.between(110, 150)
        ),
        3 => format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 1{0}_{1} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/1{0}.{1} Mobile/15E148 Safari/604.1",
            vary.between(6, 8),
            vary.below(7)
        ),
        4 => format!(
            "Mozilla/5.0 (Linux; Android 1{}; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{chrome} Mobile Safari/537.36",
            vary.below(6)
        ),
        _ => format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{chrome} Safari/537.36 Edg/{chrome}"
        ),
    }
}

fn cart(vary: &mut Vary) -> Value {
    let items: Value = (0..vary.between(0, 4)).map(|_| {
        let price = vary.between(199, 19_999) as f64 / 100.0;
        match vary.below(3) {
            0 => json!({"productId": id(vary), "name": title(vary), "quantity": vary.between(1, 4), "price": price}),
            1 => json!({"id": vary.below(9999), "sku": format!("SKU-{}", vary.below(99_999)), "title": title(vary), "qty": vary.between(1, 4), "price": price, "image": format!("/images/products/{}.jpg", vary.below(9999))}),
            _ => json!({"product_id": vary.below(9999), "variant_id": vary.below(9999), "quantity": 1, "unit_price": price, "currency": "USD"}),
        }
    }).collect();
    json!({"items": items, "total": vary.between(0, 99_999) as f64 / 100.0, "subtotal": vary.between(0, 99_999) as f64 / 100.0, "currency": vary.pick(&["USD", "EUR", "GBP"]), "itemCount": vary.below(9), "couponCode": null, "updatedAt": vary.iso()})
}

fn extras(vary: &mut Vary) -> Value {
    let preferences = json!({"theme": vary.pick(&["dark", "light", "system"]), "language": vary.pick(&["en", "de", "fr", "es"]), "locale": "en-US", "timezone": vary.pick(&["America/New_York", "Europe/Berlin", "UTC", "Europe/London", "America/Los_Angeles"]), "currency": "USD", "notifications": {"email": vary.chance(50), "push": vary.chance(50), "sms": false}, "pageSize": 20, "sidebarCollapsed": false, "dateFormat": "YYYY-MM-DD", "newsletter": true});
    let preferences = vary.some(60, preferences);
    json!({
        "csrfSecret": vary.base64(24), "csrfToken": vary.base64(36), "csrf_token": vary.hex(64), "_csrf": vary.base64(24), "flash": {}, "flash_messages": {"success": [sentence(vary)], "error": []}, "returnTo": vary.pick(&["/", "/dashboard", "/account/settings", "/checkout"]),
        "cart": cart(vary), "preferences": preferences, "settings": {"theme": "dark", "language": "en", "timezone": "UTC"}, "views": vary.below(99), "lastActivity": vary.millis(), "lastAccess": vary.iso(), "createdAt": vary.millis(), "loginTime": vary.iso(),
        "ipAddress": vary.ip(), "ip": vary.ip(), "userAgent": agent(vary), "lastVisited": ["/products", "/products/1024", "/cart", "/"], "recentlyViewed": [vary.below(9999), vary.below(9999), vary.below(9999)], "lastPage": "/dashboard",
        "tokens": tokens(vary), "mfaVerified": vary.chance(50), "twoFactorEnabled": false, "rememberMe": true, "permissions": ["read", "write"], "roles": roles(vary), "tenantId": vary.uuid(), "deviceId": vary.uuid(),
        "referrer": "https://www.google.com/", "utm": {"source": "newsletter", "medium": "email", "campaign": "spring_sale"}, "impersonating": null, "isAuthenticated": true, "experiments": {"new-checkout": "variant-b", "homepage": "control"}, "location": {"country": "US", "city": "New York", "region": "NY"},
    })
}
