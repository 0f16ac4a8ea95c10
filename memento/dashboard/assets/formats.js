// How the columns of the table show what is in them; AG Grid asks for these by name.
window.dashAgGridFunctions = Object.assign(window.dashAgGridFunctions || {}, {
    // What is no finite number comes as a text.
    number: (value) => (typeof value !== "number" ? (value ?? "") : String(Number.isInteger(value) ? value : Number(value.toPrecision(5)))),
    seconds: (value) => (value == null ? "" : `${Number(value.toPrecision(4))} s`),
    megabytes: (value) => (value == null ? "" : `${(value / 1e6).toFixed(0)} MB`),
    moment: (value) => (value == null ? "" : new Date(value * 1000).toLocaleString()),
});

window.dash_clientside = Object.assign(window.dash_clientside || {}, {
    memento: {
        // The rows that are in view are asked for again, and the place where the reader is stays.
        refresh: (version) => {
            const grid = window.dash_ag_grid && document.getElementById("table") && dash_ag_grid.getApi("table");
            if (grid) grid.refreshInfiniteCache();
            return version;
        },
    },
});
