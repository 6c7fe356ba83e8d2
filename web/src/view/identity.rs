//! Who this browser is to the others.

use super::copy::Copy;
use crate::state::ViewState;
use yew::prelude::*;

/// The account and what it means.
pub(super) fn identity(state: &ViewState) -> Html {
    html! {
        <section class="card stack" aria-labelledby="identity">
            <h2 id="identity">{ "My identity" }</h2>
            if let Some(account) = &state.account {
                <p><Copy text={account.did.clone()} what="Identity" head={18} tail={10} /></p>
                <p class="soft small">
                    if account.new {
                        { "This name was made just now and is kept in this browser. " }
                    } else {
                        { "This name was already in this browser. " }
                    }
                    { "It is the public half of a key that signs what you contribute. The private half cannot leave this browser, not even to this page. No name, mail address or account is behind it; clearing this site’s data forgets it." }
                </p>
            } else {
                <p class="empty">{ "A signing key is made in this browser, or the one from your last visit is used." }</p>
            }
        </section>
    }
}
